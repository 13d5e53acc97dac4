"""Alpha without loss: a grey picture as lossless WebP, or as PNG where it is too large for WebP.

Over hard edges, soft shadows, gradients and text WebP takes half to nine tenths of PNG's bytes,
and less than LZMA after a predictor; a constant channel takes 60 bytes.
"""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from icmhcodec.errors import FormatError

_WEBP_SIDE = 16383


def encode(alpha: NDArray[np.uint8]) -> bytes:
    """Alpha uint8 [H,W] as bytes that `decode` turns back into exactly it."""
    image = Image.fromarray(alpha)
    buffer = io.BytesIO()
    if max(alpha.shape) > _WEBP_SIDE:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.convert("RGB").save(buffer, "WEBP", lossless=True, quality=100, method=4)
    return buffer.getvalue()


def decode(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Alpha uint8 [height,width] of what `encode` wrote.

    Raises:
        FormatError: it is not that, damaged, or not of this size; nothing is allocated for more.
    """
    if _size(data) != (width, height):
        raise FormatError(f"alpha is not a picture of {width}x{height} pixels; it is damaged")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=("WEBP", "PNG"))
            levels = np.array(image.getchannel("G") if image.mode == "RGB" else image)
    except Exception as error:  # Pillow's readers raise nearly everything on broken data
        raise FormatError("alpha is damaged; fetch the file again") from error
    if levels.shape != (height, width) or levels.dtype != np.uint8:
        raise FormatError("alpha is not a grey picture; it is damaged")
    return levels


def _size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the file's header has them, before any reader allocates for it."""
    if data[:16] == b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    # A plain lossless WebP: no extended header, hence no animation (RFC 9649, 2.6 and 3.4).
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8L" and data[20:21] == b"\x2f":
        if len(data) < 25:
            return None
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
