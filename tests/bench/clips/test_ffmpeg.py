from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from icmhcodec.bench.clips import ffmpeg
from icmhcodec.bench.clips.ffmpeg import KINDS, FfmpegCodec, Kind
from icmhcodec.bench.clips.measure import psnr
from icmhcodec.bench.contract import Pixels
from icmhcodec.errors import UsageError
from icmhcodec.imageio.clip import ClipColour, ClipInfo

from . import moving

GOP = 5
_I = 1  # av.video.frame.PictureType


def coded(
    name: str, shown: list[Pixels], point: float, target: Path, clip: ClipInfo | None = None
) -> list[Pixels]:
    codec, clip = FfmpegCodec(name, GOP), clip or moving.info(*shown[0].shape[1::-1])
    codec.encode(iter(shown), clip, point, target)
    assert codec.cut(target, "human", target.with_name("part")) == target
    return list(codec.decode(target, "human", clip))


def kinds(name: str, path: Path) -> list[str]:
    """I for each I frame of a stream, else a dash, in the order in which they are shown."""
    with av.open(str(path), format=KINDS[name][0].stream) as file:
        return ["I" if int(frame.pict_type) == _I else "-" for frame in file.decode(video=0)]


@pytest.mark.parametrize("name", KINDS)
def test_frames_come_back_in_order_and_cost_what_they_are_worth(name: str, tmp_path: Path) -> None:
    shown, found = moving.frames(), []
    points = FfmpegCodec(name, GOP).points
    assert list(points) == sorted(points)
    for point in (points[0], points[-1]):
        decoded = coded(name, shown, point, tmp_path / "coded")
        assert len(decoded) == len(shown)
        for number, frame in enumerate(decoded):
            fits = [psnr(original, frame) for original in shown]
            assert fits.index(max(fits)) == number
        fit = np.mean([psnr(a, b) for a, b in zip(shown, decoded, strict=True)])
        found.append(((tmp_path / "coded").stat().st_size, fit))
    assert found[0] < found[1]
    assert found[1][1] > 33
    assert kinds(name, tmp_path / "coded") == list("I----I----I-")


def test_the_bytes_do_not_depend_on_the_run(tmp_path: Path) -> None:
    for name in ("x265", "svt-av1"):
        for number in range(2):
            coded(name, moving.frames(6), 16.0, tmp_path / str(number))
        assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


@pytest.mark.parametrize(("name", "note"), [("x264", b"x264 - core"), ("x265", b"x265 (build")])
def test_the_encoders_note_on_itself_is_not_counted(name: str, note: bytes, tmp_path: Path) -> None:
    coded(name, moving.frames(3), 20.0, tmp_path / "coded")
    assert note not in (tmp_path / "coded").read_bytes()


@pytest.mark.parametrize("name", ["x264", "x265", "svt-av1"])
def test_odd_sides(name: str, tmp_path: Path) -> None:
    shown = moving.frames(3, 75, 49)
    decoded = coded(name, shown, FfmpegCodec(name, GOP).points[-1], tmp_path / "coded")
    assert all(frame.shape == (49, 75, 3) for frame in decoded)
    assert min(map(psnr, shown, decoded)) > 30


@pytest.mark.parametrize(
    ("colour", "matrix", "full"),
    [(ClipColour(matrix=0, full=True), 6, True), (ClipColour(matrix=9, full=False), 9, False)],
)
def test_colours_are_kept_and_told(
    colour: ClipColour, matrix: int, full: bool, tmp_path: Path
) -> None:
    strong = np.array([[[250, 20, 20], [20, 250, 20], [20, 20, 250], [250, 250, 20]]], np.uint8)
    shown = [strong.repeat(48, 0).repeat(16, 1)] * 2
    clip = ClipInfo(64, 48, 1 / moving.RATE, moving.RATE, colour=colour)
    decoded = coded("x264", shown, 40.0, tmp_path / "coded", clip)
    centres = np.s_[24, 8::16]
    assert np.abs(decoded[0][centres].astype(int) - shown[0][centres]).max() <= 6
    with av.open(str(tmp_path / "coded"), format="h264") as file:
        frame = next(file.decode(video=0))
        assert (int(frame.colorspace), int(frame.color_range) == 2) == (matrix, full)


def test_identity_says_gop_and_preset() -> None:
    said = {name: FfmpegCodec(name, gop).identity() for name in KINDS for gop in (7,)}
    assert len({str(one) for one in said.values()}) == len(KINDS)
    assert "keyint=7:min-keyint=7" in said["x265"]["settings"]
    assert "preset=veryslow" in said["x264"]["settings"]
    assert "tune=zerolatency" in said["x264:zerolatency"]["settings"]


def test_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"whole numbers, not 1\.5"):
        coded("x264", moving.frames(1), 1.5, tmp_path / "coded")
    monkeypatch.setitem(ffmpeg.KINDS, "x264", (Kind("none", "h264", ffmpeg._x264), {}))
    with pytest.raises(UsageError, match="built without none; pip install av"):
        FfmpegCodec("x264", GOP)
