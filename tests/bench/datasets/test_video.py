from __future__ import annotations

import pytest

from icmhcodec.bench import datasets
from icmhcodec.errors import UsageError
from tests.bench.datasets.trees import picture


def test_davis_is_not_taken_for_pictures(tmp_path):
    picture(tmp_path / "JPEGImages" / "480p" / "bear" / "00000.jpg")
    with pytest.raises(UsageError, match=r"DAVIS.*video comes later"):
        datasets.recognise(tmp_path)


@pytest.mark.parametrize("name", ["v_01.avi", "Archery/v_01.avi", "Archery/v_01.MP4"])
def test_clips_are_not_taken_for_pictures(tmp_path, name):
    clip = tmp_path / name
    clip.parent.mkdir(exist_ok=True)
    clip.write_bytes(b"clip")
    with pytest.raises(UsageError, match="clips; video comes later"):
        datasets.recognise(tmp_path)
    picture(tmp_path / "photos" / "beside.png")  # then the clip is what is passed
    dataset = datasets.recognise(tmp_path)
    assert (dataset.layout, [s.name for s in dataset.samples]) == ("plain", ["photos/beside.png"])
