from __future__ import annotations

from icmhcodec.bench import datasets
from tests.bench.datasets.trees import picture


def test_pictures_at_any_depth_and_nothing_else(tmp_path):
    for name in ("b.PNG", "sub/a.jpg", ".hidden.png"):
        picture(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"not opened here")
    (tmp_path / "readme.md").write_text("text")
    samples = datasets.recognise(tmp_path).samples
    assert [s.name for s in samples] == ["b.PNG", "broken.png", "sub/a.jpg"]
    assert all(s.path == tmp_path / s.name and not s.truths for s in samples)
