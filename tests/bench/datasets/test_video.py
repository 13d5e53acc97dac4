from __future__ import annotations

import pytest

from icmhcodec.bench import datasets
from icmhcodec.errors import UsageError
from tests.bench.datasets.trees import picture


def clip(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"clip")
    return path


def test_davis(tmp_path):
    for name, count in (("bear", 3), ("bus", 2)):
        for number in range(count):
            picture(tmp_path / "JPEGImages" / "480p" / name / f"{number:05}.jpg")
    place = tmp_path / "Annotations" / "480p" / "bear"
    masks = [picture(place / f"{number:05}.png") for number in (0, 2)]
    dataset = datasets.recognise(tmp_path)
    assert (dataset.layout, dataset.notices) == ("davis", ())
    bear, bus = dataset.samples
    assert (bear.name, bear.path) == ("bear", tmp_path / "JPEGImages" / "480p" / "bear")
    assert bear.truths == {"seg": [masks[0], None, masks[1]]}
    assert bus.truths == {}
    assert [s.name for s in datasets.recognise(tmp_path, task="seg").samples] == ["bear"]
    assert len(datasets.recognise(tmp_path, limit=1).samples) == 1
    assert datasets.holds_clips(tmp_path)


def test_of_davis_resolutions_one_is_taken(tmp_path):
    for resolution in ("1080p", "480p"):
        picture(tmp_path / "JPEGImages" / resolution / "bear" / "00000.jpg")
    dataset = datasets.recognise(tmp_path)
    assert "480p" in str(dataset.samples[0].path)
    assert dataset.notices == (f"{tmp_path}: of its resolutions 480p is taken, not 1080p",)


def test_ucf101(tmp_path):
    for name in ("Archery/v_01.avi", "Archery/v_02.avi", "Biking/v_01.avi"):
        clip(tmp_path / "UCF-101" / name)
    assert datasets.recognise(tmp_path / "UCF-101").notices == ()
    dataset = datasets.recognise(tmp_path / "UCF-101", task="cls")
    assert dataset.layout == "ucf101"
    found = {sample.name: sample.truths["cls"] for sample in dataset.samples}
    assert found == {"Archery/v_01.avi": 0, "Archery/v_02.avi": 0, "Biking/v_01.avi": 1}
    assert "its 2 folders are classes 0 to 1" in dataset.notices[0]
    listed = tmp_path / "classInd.txt"
    listed.write_text("3 Archery\n11 Biking\n1 ApplyEyeMakeup\n")
    dataset = datasets.recognise(tmp_path / "UCF-101", task="cls")
    assert [sample.truths["cls"] for sample in dataset.samples] == [2, 2, 10]
    assert dataset.notices == ()
    for text, message in (("1 Archery\n", "name the folder Biking"), ("Archery\n", "a number")):
        listed.write_text(text)
        with pytest.raises(UsageError, match=message):
            datasets.recognise(tmp_path / "UCF-101")


@pytest.mark.parametrize("name", ["v_01.avi", "Archery/v_01.avi", "a/b.WEBM", "c.y4m"])
def test_clips_without_labels(tmp_path, name):
    clip(tmp_path / name)
    (tmp_path / ".hidden.mp4").write_bytes(b"clip")
    assert datasets.holds_clips(tmp_path)
    dataset = datasets.recognise(tmp_path)
    assert (dataset.layout, [s.name for s in dataset.samples]) == ("clips", [name])
    assert dataset.samples[0].path == tmp_path / name


def test_clips_beside_pictures_are_passed(tmp_path):
    clip(tmp_path / "v_01.avi")
    picture(tmp_path / "photos" / "beside.png")
    assert not datasets.holds_clips(tmp_path)
    dataset = datasets.recognise(tmp_path)
    assert (dataset.layout, [s.name for s in dataset.samples]) == ("plain", ["photos/beside.png"])
