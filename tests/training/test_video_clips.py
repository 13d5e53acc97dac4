from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from icmhcodec.errors import UsageError
from icmhcodec.training import photos, video_clips
from icmhcodec.training.video_clips import Sequences


def shot(path: Path, count: int, start: int) -> None:
    """A video of a ramp that moves by a pixel a frame, 96 x 80."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "bgr0"
        for t in range(count):
            ramp = (np.arange(96) + t + start).astype(np.uint8) * 2
            pixels = np.broadcast_to(ramp[None, :, None], (80, 96, 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    davis = folder / "JPEGImages" / "480p" / "swan"
    davis.mkdir(parents=True)
    for t in range(5):
        Image.new("RGB", (100, 70), (40 * t, 0, 0)).save(davis / f"{t:05}.png")
    shot(folder / "a.mkv", 6, 0)
    shot(folder / "b.mkv", 4, 9)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def loaded(clips: Path) -> video_clips.Clips:
    return video_clips.load(clips, 64, clips.parent)


def test_files_and_folders_of_frames_are_clips(clips: Path) -> None:
    found = loaded(clips)
    every = {clip.name: clip for clip in (*found.training, *found.held_out)}
    assert {name: clip.frames for name, clip in every.items()} == {
        "swan": 5,
        "a.mkv": 6,
        "b.mkv": 4,
    }
    assert found.held_out
    pixels = found.pixels(every["a.mkv"])
    assert pixels.shape == (6, 80, 96, 3)
    assert (pixels[3, 0, :, 0] == (np.arange(96) + 3) * 2).all()
    stamp = (clips.parent / video_clips.CACHE).stat().st_mtime_ns
    assert loaded(clips) == found  # from the cache
    assert (clips.parent / video_clips.CACHE).stat().st_mtime_ns == stamp


def test_too_few_clips_are_refused(clips: Path) -> None:
    with pytest.raises(UsageError, match="fewer than two"):
        video_clips.load(clips, 90, clips.parent)


def test_a_batch_follows_from_its_step(clips: Path) -> None:
    crops = Sequences(loaded(clips), None, 64, 3, 4)
    first = crops[7]
    assert first.shape == (12, 64, 64, 3)
    assert torch.equal(crops[7], first)
    assert not torch.equal(crops[8], first)
    halves = [replace(crops, batch=2, rank=r, processes=2)[7] for r in range(2)]
    assert torch.equal(torch.cat(halves), replace(crops, batch=2)[7])
    assert torch.equal(next(crops.from_step(7, 0)), first)


def test_frames_of_a_sequence_are_of_one_window(clips: Path) -> None:
    found = loaded(clips)
    ramps = replace(found, training=tuple(c for c in found.training if c.name != "swan"))
    crops = Sequences(ramps, None, 64, 1, 2, mirror=False)
    for step in range(4):
        before, after = crops[step].int()
        steps = (after - before).unique().tolist()
        assert len(steps) == 1  # the same everywhere: what moved is the ramp
        assert abs(steps[0]) in (2, 4, 6)


def test_photos_move_smoothly(folder: Path) -> None:
    stills = photos.load(folder, 64, folder.parent)
    crops = Sequences(None, stills, 64, 2, 3)
    batch = crops[0].float().unflatten(0, (2, 3))
    near = (batch[:, 1:] - batch[:, :-1]).abs().mean()
    assert 0 < near < 20
    assert crops.held_out(2).shape[0] % 3 == 0


def test_both_are_mixed(clips: Path, folder: Path) -> None:
    stills = photos.load(folder, 64, folder.parent)
    only = [Sequences(loaded(clips), stills, 64, 4, 2, share)[0] for share in (0.0, 1.0)]
    assert torch.equal(only[0], Sequences(loaded(clips), None, 64, 4, 2)[0])
    assert not torch.equal(only[0], only[1])
    with pytest.raises(UsageError, match="neither"):
        Sequences(None, None, 64, 1, 2)


def test_held_out_sequences_are_not_trained_on(clips: Path) -> None:
    found = loaded(clips)
    shown = Sequences(found, None, 64, 1, 3).held_out(4)
    assert shown.shape[1:] == (64, 64, 3)
    assert len(shown) % 3 == 0
    assert not set(found.training) & set(found.held_out)
