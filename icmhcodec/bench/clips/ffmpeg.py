"""x264, x265 and SVT-AV1 through PyAV: 4:2:0, 8 bits, one thread, constant rate factor.

The file is the elementary stream without a container: all that a decoder needs but times. x264's
and x265's note on their own options (some 700 bytes in the first frame) is not in it. Frames keep
the matrix and range of their source; those that came as RGB go through the matrix that players
assume, in full range. Odd sides are replicated to even ones, and the decoder is told the size. The
point is the highest factor of the codec's scale less the factor: 51 of x264 and x265, 63 of AV1.
One thread, since the bytes of all three depend on the number of threads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from icmhcodec.bench.codecs.plain import described, whole
from icmhcodec.bench.contract import HUMAN, Pixels
from icmhcodec.errors import UsageError
from icmhcodec.imageio.clip import MATRICES, ClipInfo, usual_matrix
from icmhcodec.imageio.clip_read import SMOOTH

YUV = "yuv420p"
RATE = Fraction(25)  # where the source has none
_FULL, _LIMITED = 2, 1
# A NAL unit of x264's: supplemental information (6) of the user (5).
_NOTE = re.compile(rb"\x00?\x00\x00\x01\x06\x05.*?(?=\x00\x00\x01|\x00\x00\x00\x01|\Z)", re.DOTALL)
# SVT-AV1 would tell its settings on stderr.
os.environ.setdefault("SVT_LOG", "1")


def _x264(factor: str, gop: int, **more: str) -> dict[str, str]:
    return {"crf": factor, "g": str(gop), "keyint_min": str(gop), "sc_threshold": "0", **more}


def _x265(factor: str, gop: int, **more: str) -> dict[str, str]:
    keys = f"crf={factor}:keyint={gop}:min-keyint={gop}:scenecut=0"
    quiet = "pools=none:frame-threads=1:info=0:log-level=none"
    return {"x265-params": f"{keys}:{quiet}", **more}


def _svt_av1(factor: str, gop: int, **more: str) -> dict[str, str]:
    return {"crf": factor, "g": str(gop), "svtav1-params": "lp=1", **more}


@dataclass(frozen=True)
class Kind:
    """An encoder of FFmpeg, the name of its elementary stream, and its settings."""

    encoder: str
    stream: str
    options: Callable[..., dict[str, str]]
    highest: int = 51
    factors: tuple[int, ...] = (43, 39, 35, 31, 27, 23, 19)


X264 = Kind("libx264", "h264", _x264)
X265 = Kind("libx265", "hevc", _x265)
SVT_AV1 = Kind("libsvtav1", "obu", _svt_av1, 63, (58, 52, 46, 40, 34, 28, 22))
VERYSLOW = {"preset": "veryslow"}  # as EAC has it
ZEROLATENCY = {"preset": "medium", "tune": "zerolatency"}  # as DVC and FVC have it
KINDS: dict[str, tuple[Kind, dict[str, str]]] = {
    "x264": (X264, VERYSLOW),
    "x264:zerolatency": (X264, ZEROLATENCY),
    "x265": (X265, VERYSLOW),
    "x265:zerolatency": (X265, ZEROLATENCY),
    "svt-av1": (SVT_AV1, {"preset": "4"}),
}


class FfmpegCodec:
    """An encoder of FFmpeg and the decoder of its streams; see `bench.contract.ClipCodec`."""

    profile = "plain"
    views: tuple[str, ...] = (HUMAN,)

    def __init__(self, name: str, gop: int) -> None:
        """Take a codec of KINDS; UsageError where PyAV was built without it."""
        self.name = name
        self._kind, self._more = KINDS[name]
        self._gop = gop
        self.points = tuple(float(self._kind.highest - factor) for factor in self._kind.factors)
        try:
            av.codec.Codec(self._kind.encoder, "w")
        except av.codec.codec.UnknownCodecError as error:
            raise UsageError(
                f"{name}: this PyAV was built without {self._kind.encoder}; pip install av"
            ) from error

    def identity(self) -> dict[str, str]:
        """The packages that carry the encoder, and its options."""
        return {
            "pyav": metadata.version("av"),
            "ffmpeg": av.ffmpeg_version_info,
            "encoder": self._kind.encoder,
            "settings": described(self._kind.options("CRF", self._gop, **self._more)),
            "colours": f"{YUV}, matrix and range of the source, bicubic",
        }

    def encode(self, frames: Iterable[Pixels], info: ClipInfo, point: float, target: Path) -> None:
        """Write the stream of frames at a factor."""
        context = self._context(info, point)
        reformatter: Any = VideoReformatter()
        with target.open("wb") as file:
            for number, pixels in enumerate(frames):
                frame = _to_yuv(pixels, info, reformatter)
                frame.pts, frame.time_base = number, context.time_base
                file.writelines(self._bytes(packet) for packet in context.encode(frame))
            file.writelines(self._bytes(packet) for packet in context.encode(None))

    def _context(self, info: ClipInfo, point: float) -> Any:
        factor = self._kind.highest - whole(point, self.name)
        context: Any = av.CodecContext.create(self._kind.encoder, "w")
        context.width, context.height = (side + side % 2 for side in (info.width, info.height))
        context.pix_fmt, context.thread_count = YUV, 1
        context.framerate = info.rate or RATE
        context.time_base = 1 / context.framerate
        context.colorspace, context.color_range = _colours(info)
        context.options = self._kind.options(str(factor), self._gop, **self._more)
        return context

    def _bytes(self, packet: Any) -> bytes:
        data = bytes(packet)
        return _NOTE.sub(b"", data) if self._kind is X264 else data

    def cut(self, source: Path, view: str, target: Path) -> Path:
        """The whole stream."""
        del view, target
        return source

    def decode(self, source: Path, view: str, info: ClipInfo) -> Iterator[Pixels]:
        """The frames as RGB."""
        del view
        reformatter: Any = VideoReformatter()
        with av.open(str(source), format=self._kind.stream) as file:
            file.streams.video[0].codec_context.thread_count = 1
            for frame in file.decode(video=0):
                pixels = _to_rgb(frame, info, reformatter)
                yield pixels[: info.height, : info.width]


def _colours(info: ClipInfo) -> tuple[int, int]:
    """Code point of the matrix, and FFmpeg's of the range."""
    if info.colour.matrix not in MATRICES:
        return usual_matrix(info.width, info.height), _FULL
    return info.colour.matrix, _FULL if info.colour.full else _LIMITED


def _to_yuv(pixels: Pixels, info: ClipInfo, reformatter: Any) -> Any:
    rows, columns = (side % 2 for side in pixels.shape[:2])
    if rows or columns:
        pixels = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")
    matrix, range_ = _colours(info)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return reformatter.reformat(
        frame, format=YUV, dst_colorspace=MATRICES[matrix], dst_color_range=range_,
        interpolation=SMOOTH, threads=1,
    )  # fmt: skip


def _to_rgb(frame: Any, info: ClipInfo, reformatter: Any) -> Pixels:
    matrix, range_ = _colours(info)
    shown = reformatter.reformat(
        frame, format="rgb24", src_colorspace=MATRICES[matrix], src_color_range=range_,
        interpolation=SMOOTH, threads=1,
    )  # fmt: skip
    return np.asarray(shown.to_ndarray())
