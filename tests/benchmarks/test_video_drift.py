from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks import video_cases, video_drift
from benchmarks.video_cases import Clip
from tests.benchmarks.fake_network import FakeNetwork


@pytest.fixture
def clips(photos, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, seconds in enumerate((0.24, 0.16)):
        clip = Clip(64, 48, seconds)
        video_cases.write(folder / f"{number}.mp4", clip, sorted(photos.glob("*.png")))
    return folder


def test_frames_are_measured_stretch_by_stretch(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(video_drift, "load_yolox", FakeNetwork)
    output = tmp_path / "drift.json"
    arguments = [clips, "--case", "random", "--gop", 4, "--frames", 5, "--stretch", 2]
    arguments += ["--quality", 2, "--quality", 6, "--output", output]
    result = CliRunner().invoke(video_drift.main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    found = json.loads(output.read_text())
    assert (found["gop"], found["frames"], found["clips"]) == (4, 5, ["0", "1"])
    (bundle,) = found["bundles"].values()
    for views in bundle["qualities"].values():
        assert [row["frames"] for row in views["det"]["stretches"]] == [[0, 2], [2, 4]]
        assert 0 < views["det"]["bpp"] < views["human"]["bpp"]
        assert views["det"]["psnr"] < views["human"]["psnr"]
    low, high = bundle["qualities"]["2.0"], bundle["qualities"]["6.0"]
    assert low["human"]["bpp"] < high["human"]["bpp"]


def test_stretches_are_counted_from_the_start_of_each_group():
    frames = [{"seen": {"error": 0.0}, "psnr": float(n)} for n in range(6)]
    rows = video_drift.by_stretch(FakeNetwork(), [frames, frames[:1]], gop=3, stretch=2)
    assert [row["frames"] for row in rows] == [[0, 2], [2, 3]]
    assert rows[0]["psnr"] == pytest.approx((0 + 1 + 3 + 4 + 0) / 5)
    assert rows[1]["psnr"] == pytest.approx((2 + 5) / 2)


def test_other_bundles_are_kept_if_they_saw_the_same_frames(tmp_path):
    about = {"codec": "dvc-1 11", "gop": 32}
    path = tmp_path / "drift.json"
    assert video_drift.others(path, about) == {}
    path.write_text(json.dumps({**about, "bundles": {"det-1 22": {}}}))
    assert video_drift.others(path, about) == {"det-1 22": {}}
    assert video_drift.others(path, about | {"gop": 12}) == {}
