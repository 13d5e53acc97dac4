"""VVC intra by VVenC and VVdeC: one picture, 4:2:0, 10 bits, preset medium, no perceptual QP.

VVenC codes no 4:4:4. Colours go through BT.709 in full range (swscale, bicubic). The file is the
raw bitstream after one byte that says whether a row and a column were added, since 4:2:0 wants even
sides. The point is 63 less QP.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from icmhcodec.bench.codecs import programs
from icmhcodec.bench.codecs.plain import PlainCodec, whole
from icmhcodec.bench.contract import ComparedCodec, Pixels, Resources

ADVICE = "build VVenC and VVdeC and put their programs there"
HIGHEST_QP = 63
POINTS = tuple(float(HIGHEST_QP - qp) for qp in (47, 42, 37, 32, 27, 22))
YUV = "yuv420p10le"
# Options of VVenC's two programs for the same thing; the last one names the output.
SIMPLE, EXPERT = "vvencapp", "vvencFFapp"
OPTIONS = {
    SIMPLE: "--format yuv420_10 --framerate 1 --frames 1 --preset medium --qpa 0 --output",
    EXPERT: "--InputBitDepth=10 --InternalBitDepth=10 --FrameRate=1 --FramesToBeEncoded=1 "
    "--preset=medium --PerceptQPA=0 -b",
}


class VvcCodec(PlainCodec):
    """VVC through YUV files."""

    def __init__(self, encoder: str, decoder: str, threads: int) -> None:
        super().__init__("vvc", POINTS)
        self._encoder = encoder
        self._decoder = decoder
        self._threads = str(threads)
        self._options = OPTIONS[EXPERT if EXPERT in Path(encoder).name else SIMPLE].split()

    def identity(self) -> dict[str, str]:
        """The programs by their contents, the colour conversion, and the options."""
        return {
            "encoder": programs.fingerprint(self._encoder),
            "decoder": programs.fingerprint(self._decoder),
            "colours": f"{YUV}, BT.709, full range, bicubic, PyAV {metadata.version('av')}",
            "settings": " ".join(self._options),
        }

    def encode(self, pixels: Pixels, point: float) -> bytes:
        """The file at a QP."""
        rows, columns = (side % 2 for side in pixels.shape[:2])
        even = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")
        size = f"{even.shape[1]}x{even.shape[0]}"
        qp = str(HIGHEST_QP - whole(point, self.name))
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "picture.yuv", Path(folder) / "picture.266"
            source.write_bytes(to_yuv(even).tobytes())
            given = ["-i", str(source), "-s", size, "-q", qp, "-t", self._threads]
            programs.run(self._encoder, *given, *self._options, str(target))
            stream = programs.output(target, self._encoder)
        return bytes([2 * rows + columns]) + stream

    def pixels(self, data: bytes) -> Pixels:
        """The picture as VVdeC gives it, without the added column and row."""
        rows, columns = divmod(data[0], 2)
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "picture.266", Path(folder) / "picture.y4m"
            source.write_bytes(data[1:])
            programs.run(self._decoder, "-b", str(source), "-o", str(target), "-t", self._threads)
            programs.output(target, self._decoder)
            even = from_y4m(target)
        return even[: even.shape[0] - rows, : even.shape[1] - columns]


def to_yuv(pixels: Pixels) -> npt.NDArray[np.uint16]:
    """RGB [H,W,3] of even sides as 10-bit planes, chroma at half size, one below the other."""
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format=YUV,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BICUBIC,
    )
    return np.asarray(frame.to_ndarray(), "<u2")


def from_y4m(path: Path) -> Pixels:
    """RGB [H,W,3] of the first frame of a Y4M file in the colours of `to_yuv`."""
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0)).reformat(
            format="rgb24",
            src_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.BICUBIC,
        )
    return np.asarray(frame.to_ndarray())


def create(options: str, tasks: Sequence[str], resources: Resources) -> list[ComparedCodec]:
    """VVC; UsageError where its programs are not on the PATH."""
    del options, tasks
    encoder = programs.find("vvc", (SIMPLE, EXPERT), ADVICE)
    decoder = programs.find("vvc", ("vvdecapp",), ADVICE)
    return [VvcCodec(encoder, decoder, resources.threads or 1)]
