from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icmhcodec.bench.clips.measure import HIGHEST_PSNR, measuring, psnr
from icmhcodec.bench.clips.networks import on_clips
from icmhcodec.bench.contract import Clips, Observation, Pixels, Sample
from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio.clip import ClipInfo

from . import moving

WHOLE = Clips()


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return Sample("a.mkv", moving.write(tmp_path / "a.mkv", moving.frames(6)))


def observed(
    sample: Sample, codec: Any, network: Any = None, clips: Clips = WHOLE
) -> list[Observation]:
    with measuring(sample, network and on_clips(network), clips) as measured:
        return measured(codec, 3.0)


def test_bytes_frames_and_psnr_are_those_of_the_clip(sample: Sample) -> None:
    [one] = observed(sample, moving.Shelf())
    shown = moving.frames(6)
    lost = [(frame % 32).astype(float) for frame in shown]
    fits = [10 * np.log10(255**2 / np.mean(off**2)) for off in lost]
    assert one.human == {"psnr": pytest.approx(np.mean(fits))}
    assert (one.frames, one.pixels, one.bytes) == (6, 6 * 64 * 48, 6 * 64 * 48 * 3)
    assert (one.sample, one.curve, one.point) == ("a.mkv", "shelf/plain/human", 3.0)
    assert one.task is None


def test_ms_ssim_is_the_mean_over_frames_that_are_large_enough(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_msssim")
    large = Sample("a", moving.write(tmp_path / "a.mkv", moving.frames(2, 164, 162)))
    [one] = observed(large, moving.Shelf())
    assert 0.5 < one.human["ms_ssim"] < 0.9999


def test_one_frame_without_loss_does_not_decide(tmp_path: Path) -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    path = moving.write(tmp_path / "a.mkv", [black, moving.frames(1)[0]])
    [one] = observed(Sample("a", path), moving.Shelf())
    other = moving.frames(1)[0]
    assert psnr(black, black) == psnr(other, other) == HIGHEST_PSNR == 60
    assert one.human["psnr"] == pytest.approx((60 + psnr(other, other >> 5 << 5)) / 2)
    assert psnr(black, black + 1) == pytest.approx(20 * np.log10(255))


def test_the_original_has_no_psnr(sample: Sample) -> None:
    network = moving.Brightness()
    [one] = observed(sample, None, network)
    assert (one.curve, one.human, one.bytes) == ("original", {}, 3 * one.pixels)
    assert one.task == {"frames": [{"off": 0.0, "truth": None}] * 6}
    assert network.seen == 6  # what it saw is judged against itself


def test_the_network_sees_the_original_once(sample: Sample) -> None:
    network = moving.Brightness()
    with measuring(sample, on_clips(network), WHOLE) as measured:
        for point in (2.0, 3.0):
            [one] = measured(moving.Shelf(), point)
    assert network.seen == 6 + 2 * 6
    lost = [(frame % 32).mean() for frame in moving.frames(6)]
    assert one.task is not None
    assert [frame["off"] for frame in one.task["frames"]] == pytest.approx(lost)


def test_frames_can_be_fewer(sample: Sample) -> None:
    [one] = observed(sample, moving.Shelf(), clips=Clips(frames=2))
    assert one.frames == 2
    [one] = observed(sample, moving.Shelf(), clips=Clips(frames=20))
    assert one.frames == 6


def test_frames_in_a_folder(tmp_path: Path) -> None:
    path = moving.write_folder(tmp_path / "bear", moving.frames(3))
    [one] = observed(Sample("bear", path), moving.Shelf())
    assert one.frames == 3


class Hasty(moving.Shelf):
    def decode(self, source: Path, view: str, info: ClipInfo) -> Iterator[Pixels]:
        yield next(super().decode(source, view, info))


def test_a_codec_that_loses_frames_fails(sample: Sample) -> None:
    with pytest.raises(IcmhError, match=r"decoded to 1 frames .*, but the clip has 6"):
        observed(sample, Hasty())


def test_what_is_no_clip_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no clip")
    with pytest.raises(IcmhError, match="not a clip that can be read"):
        observed(Sample("a", tmp_path / "a.mp4"), moving.Shelf())
    with pytest.raises(UsageError, match="no such file"):
        observed(Sample("b", tmp_path / "b.mp4"), moving.Shelf())


def test_nothing_is_left_behind(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raw").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "raw"))
    observed(sample, moving.Shelf(), moving.Brightness())
    with pytest.raises(IcmhError):
        observed(sample, moving.Shelf(refuses=[6]))
    assert not list((tmp_path / "raw").iterdir())


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    peaks = []
    for count in (4, 40):
        path = moving.write(tmp_path / f"{count}.mkv", moving.frames(count, 128, 96))
        tracemalloc.start()
        [one] = observed(Sample("a", path), moving.Shelf(), moving.Brightness())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert asdict(one)["frames"] == count
    frame = 128 * 96 * 3
    assert peaks[1] < peaks[0] + 2 * frame
