"""PNG files of 16 bits, which Pillow writes of grey without alpha alone."""

from __future__ import annotations

import io
import zlib
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from icmhcodec.imageio.picture import Picture, planes_of

_FORMATS = {1: "gray16be", 2: "ya16be", 3: "rgb48be", 4: "rgba64be"}
_HEADER_BYTES = 33  # signature and IHDR


def encode(picture: Picture) -> bytes:
    """The bytes of a PNG of a 16-bit picture, with its profile, Exif and XMP."""
    bare = _pixels(planes_of(picture))
    chunks = io.BytesIO()
    if picture.icc:
        PngImagePlugin.putchunk(chunks, b"iCCP", b"icc\0\0", zlib.compress(picture.icc, 9))
    if picture.exif:
        PngImagePlugin.putchunk(chunks, b"eXIf", picture.exif)
    if picture.xmp:
        PngImagePlugin.putchunk(chunks, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0", picture.xmp)
    return bare[:_HEADER_BYTES] + chunks.getvalue() + bare[_HEADER_BYTES:]


def _pixels(planes: NDArray[Any]) -> bytes:
    """A PNG of samples uint16 [H,W,C] and nothing else."""
    import av

    height, width, channels = planes.shape
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.time_base = width, height, Fraction(1)
    encoder.pix_fmt = _FORMATS[channels]
    encoder.options = {"pred": "mixed"}
    frame = av.VideoFrame(width, height, encoder.pix_fmt)
    plane = frame.planes[0]
    rows = np.zeros((height, plane.line_size), np.uint8)
    used = planes.astype(">u2").reshape(height, -1).view(np.uint8)
    rows[:, : used.shape[1]] = used
    plane.update(rows.tobytes())
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
