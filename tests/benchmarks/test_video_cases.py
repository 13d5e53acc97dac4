from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import common, video_cases
from benchmarks.video_cases import Clip
from icmhcodec.codecs.video import registry
from icmhcodec.imageio.clip import ClipFrame
from icmhcodec.imageio.clip_read import ClipReader

CLIP = Clip(64, 48, 0.4)


def read(path):
    with ClipReader(path) as clip:
        items = list(clip)
    frames = [item for item in items if isinstance(item, ClipFrame)]
    return clip.info, frames, [item for item in items if not isinstance(item, ClipFrame)]


def test_a_clip_moves_and_sounds_and_is_the_same_again(photos, tmp_path):
    paths = common.pictures(photos)
    info, shown, sound = read(video_cases.write(tmp_path / "a.mp4", CLIP, paths))
    assert (info.width, info.height, info.rate, len(shown)) == (64, 48, 25, CLIP.frames)
    (audio,) = info.audio
    heard = (sound[-1].time + sound[-1].duration) * audio.time_base
    assert (audio.codec, audio.layout) == ("aac", "stereo")
    assert 0.39 < heard < 0.45
    made = list(video_cases.frames(CLIP, paths))
    for frame, wanted in zip(shown, made, strict=True):
        assert common.psnr(frame.pixels, wanted) > 25  # chroma has half the lines
    assert all(not np.array_equal(a, b) for a, b in pairwise(made))
    again = read(video_cases.write(tmp_path / "b.mp4", CLIP, paths))
    assert [packet.data for packet in again[2]] == [packet.data for packet in sound]
    for first, second in zip(shown, again[1], strict=True):
        assert np.array_equal(first.pixels, second.pixels)


def test_photos_follow_each_other(photos, monkeypatch):
    monkeypatch.setattr(video_cases, "SHOT", 3)
    made = list(video_cases.frames(CLIP, common.pictures(photos)))
    assert not np.array_equal(made[0], made[3])
    assert np.array_equal(made[0], made[6])  # there are two


def test_a_random_codec_is_added_once():
    name = video_cases.add_random_codec()
    assert video_cases.add_random_codec() == name
    assert registry.load("dvc").id == name


def test_the_command_line_makes_clips(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(video_cases, "CLIPS", {"tiny": Clip(64, 48, 0.08)})
    monkeypatch.setattr(video_cases.main.params[1].type, "choices", ["tiny"])
    arguments = [str(tmp_path / "made"), "tiny", "--kodak", str(photos)]
    result = CliRunner().invoke(video_cases.main, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "made" / "tiny.mp4").stat().st_size > 500


@pytest.mark.parametrize("name", video_cases.CLIPS)
def test_clips_are_those_of_the_acceptance(name):
    clip = video_cases.CLIPS[name]
    assert clip.frames == clip.seconds * 25
