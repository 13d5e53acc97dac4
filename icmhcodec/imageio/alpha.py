"""Alpha without loss: as lossless WebP, or as grey PNG where it is too large for WebP.

Over hard edges, soft shadows, gradients and text WebP takes half to nine tenths of PNG's bytes, and
less than LZMA, FFV1 or JPEG 2000; a constant channel takes 60 bytes. 16-bit alpha is put into two
colours of it, byte by byte, and for soft edges as differences to the plane through neighbours.
"""

from __future__ import annotations

import io
import struct
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from icmhcodec.errors import FormatError

_WEBP_SIDE = 16383
_GREY = {8: "L", 16: "I;16B"}  # how the samples of a grey PNG lie, in Pillow's words
_WEBP = struct.Struct("<4sI4s4sIBI")
_SAMPLES, _DIFFERENCES = 0, 1


def encode(alpha: NDArray[Any]) -> bytes:
    """Alpha uint8 or uint16 [H,W] as bytes that `decode` turns back into exactly it."""
    if max(alpha.shape) > _WEBP_SIDE:
        return _saved(Image.fromarray(alpha), "PNG", optimize=True)
    if alpha.dtype == np.uint8:
        return _webp(alpha, alpha, alpha)
    return min(_two_bytes(alpha, _SAMPLES), _two_bytes(_differences(alpha), _DIFFERENCES), key=len)


def decode(data: bytes, width: int, height: int, depth: int = 8) -> NDArray[Any]:
    """Alpha uint8 or uint16 [height,width], by the depth, of what `encode` wrote.

    Raises:
        FormatError: it is not that, damaged, or not of this size; nothing is allocated for more.
    """
    large = max(width, height) > _WEBP_SIDE
    if (_png_size if large else _webp_size)(data) != (width, height):
        raise FormatError(f"alpha is not a picture of {width}x{height} pixels; it is damaged")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=("PNG" if large else "WEBP",))
            kind = image.tile[0].args if large else image.mode
            # Another header may follow the first; the last one is what is allocated for.
            if image.size != (width, height) or kind != (_GREY[depth] if large else "RGB"):
                raise FormatError(f"alpha is not grey of {depth} bits; it is damaged")
            levels = np.array(image)
    except FormatError:
        raise
    except Exception as error:  # Pillow's readers raise nearly everything on broken data
        raise FormatError("alpha is damaged; fetch the file again") from error
    if large:
        return levels
    return levels[:, :, 1] if depth == 8 else _from_two_bytes(levels)


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _webp(red: NDArray[Any], green: NDArray[Any], blue: NDArray[Any]) -> bytes:
    image = Image.fromarray(np.stack([red, green, blue], axis=2))
    return _saved(image, "WEBP", lossless=True, quality=100, method=4)


def _two_bytes(values: NDArray[Any], kind: int) -> bytes:
    """The low byte in red, the high one in green and, plus what they are, in blue.

    WebP codes red and blue less green.
    """
    low, high = (values & 255).astype(np.uint8), (values >> 8).astype(np.uint8)
    return _webp(low, high, high + np.uint8(kind))


def _from_two_bytes(colours: NDArray[Any]) -> NDArray[Any]:
    low, high, blue = np.moveaxis(colours, 2, 0)
    kinds = blue - high
    kind = kinds.flat[0]
    if kind not in (_SAMPLES, _DIFFERENCES) or (kinds != kind).any():
        raise FormatError("alpha is of an unknown kind; it is damaged")
    values: NDArray[Any] = high.astype(np.uint16) << 8 | low
    if kind == _DIFFERENCES:
        values = values.cumsum(0, np.uint16).cumsum(1, np.uint16)
    return values


def _differences(alpha: NDArray[Any]) -> NDArray[Any]:
    """Of each sample to left + above - above left (0 outside), modulo 2^16; sums undo it."""
    zero = np.zeros((), alpha.dtype)
    return np.diff(np.diff(alpha, axis=0, prepend=zero), axis=1, prepend=zero)


def _png_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the file's header has them, before any reader allocates for it."""
    if data[:16] != b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" or len(data) < 24:
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """As `_png_size`, of a lossless WebP of one chunk, which leaves no animation (RFC 9649, 2)."""
    if len(data) < 25:
        return None
    riff, length, form, chunk, size, signature, bits = _WEBP.unpack_from(data)
    if (riff, form, chunk, signature) != (b"RIFF", b"WEBP", b"VP8L", 0x2F):
        return None
    if not len(data) == 8 + length == 20 + size + size % 2:
        return None
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
