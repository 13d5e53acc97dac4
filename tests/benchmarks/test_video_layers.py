from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from benchmarks import video_layers
from benchmarks.video_cases import Clip
from icmhcodec.pipeline.codec import Codec


def test_all_holds_of_a_small_clip(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(video_layers.CLIPS, "small", Clip(64, 48, 0.2))
    arguments = ["--clip", "small", "--case", "random", "--kodak", photos]
    arguments += ["--sheets", tmp_path / "seen", "--output", tmp_path / "layers.json"]
    result = CliRunner().invoke(video_layers.main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "layers.json").read_text())
    small = found["clips"]["small"]
    assert (found["holds"], small["frames"], len(small["holds"])) == (True, 5, 5)
    assert 0 < small["layers"]["det"] < small["bytes"]
    assert small["psnr"]["det"] < small["psnr"]["human"]
    with Image.open(tmp_path / "seen" / "small.png") as sheet:
        assert sheet.size == (4 * 64, 3 * 48)


def test_sound_at_other_times_is_another():
    packets = [(0.0, b"a"), (0.02, b"b")]
    assert video_layers._alike(packets, packets)
    assert not video_layers._alike(packets, [(0.0, b"a"), (0.03, b"b")])
    assert not video_layers._alike(packets, [(0.0, b"a"), (0.02, b"c")])
    assert not video_layers._alike(packets, packets[:1])


def test_other_frames_are_found(tmp_path, monkeypatch):
    frames = [np.zeros((2, 2, 3), np.uint8)] * 2
    for name in ("first", "second"):
        (tmp_path / name).touch()
    for others, same in ((frames, True), (frames[:1], False), ([frames[0], frames[0] + 1], False)):
        clips = {"first": frames, "second": others}
        monkeypatch.setattr(
            video_layers,
            "shown_frames",
            lambda codec, stream, task, clips=clips: clips[Path(stream.name).name],
        )
        files = tmp_path / "first", tmp_path / "second"
        assert video_layers.same_frames(Codec("test-tiny"), *files) == same
