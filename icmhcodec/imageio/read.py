"""Pictures from files: PNG, JPEG, WebP, TIFF and AVIF."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio.picture import Picture, from_pil, scale_to_eight_bits

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")
STDIN = "-"
_SIXTEEN_BIT_COLOUR = re.compile(r"(RGB|RGBA|RGBX);16([BLN])")


def read(source: str | os.PathLike[str] | bytes | Image.Image) -> Picture:
    """Read a picture of a path, "-" for stdin, the bytes of a file, or a PIL image.

    The result stands upright and its metadata say so; 16-bit samples are rounded to 8 bits (more
    is not kept yet). Of a JPEG with several pictures (MPO) it is the first.

    Raises:
        UsageError: there is no such file, it is a folder, or may not be read.
        IcmhError: it is empty, no picture, broken, too large, animated or has several pages.
    """
    if isinstance(source, Image.Image):
        return from_pil(source)
    data, name = _load(source)
    if not data:
        raise IcmhError(f"{name} is empty; a picture is expected")
    with warnings.catch_warnings():
        # Pillow warns of doubtful metadata and of large pictures; what it then refuses it raises.
        warnings.simplefilter("ignore")
        try:
            return from_pil(_open(data))
        except IcmhError as error:
            raise type(error)(f"{name}: {error}") from error


def _load(source: str | os.PathLike[str] | bytes) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, "the data"
    if os.fspath(source) == STDIN:
        return sys.stdin.buffer.read(), "stdin"
    path = Path(source)
    try:
        return path.read_bytes(), str(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; name a file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be read: {reason}") from error


def _open(data: bytes) -> Image.Image:
    """The only picture in `data`, loaded, with 16-bit colours rounded to 8 bits."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            kind = "pages" if image.format == "TIFF" else "frames"
            raise IcmhError(f"it has {frames} {kind}; extract the one to be coded first")
        levels = _sixteen_bit_colours(data, image)
        if levels is not None:
            return _with_pixels(image, levels)
        grey = _rawmodes(image) == {"LA;16B"}
        image.load()
        return _with_pixels(image, np.asarray(image)[:, :, 2:]) if grey else image
    except IcmhError:
        raise
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise IcmhError(f"it has more than {limit:,} pixels; scale it down first") from None
    except UnidentifiedImageError:
        raise IcmhError("it is not a PNG, JPEG, WebP, TIFF or AVIF picture") from None
    except Exception as error:  # Pillow's readers raise nearly everything on broken data
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IcmhError(f"it is damaged: {reason}") from error


def _sixteen_bit_colours(data: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
    """The levels [H,W,C] of 16-bit RGB or RGBA; None for other pictures.

    Pillow keeps the high byte alone of each sample. Read in the other byte order the high byte
    is the low one, and both together can be rounded.
    """
    rawmodes = _rawmodes(image)
    match = _SIXTEEN_BIT_COLOUR.fullmatch(rawmodes.pop()) if len(rawmodes) == 1 else None
    if match is None:
        return None
    order = match[2]
    if order == "N":
        order = "L" if sys.byteorder == "little" else "B"
    other = Image.open(io.BytesIO(data), formats=FORMATS)
    _set_rawmode(other, f"{match[1]};16{'B' if order == 'L' else 'L'}")
    # Orientation is applied to both alike where Pillow does it on loading.
    high, low = np.asarray(image).astype(np.uint16), np.asarray(other)
    transparent = image.info.get("transparency") if match[1] == "RGB" else None
    return scale_to_eight_bits(high << 8 | low, transparent)


def _rawmodes(image: Image.Image) -> set[str]:
    """How the samples lie in the file, in Pillow's words, of each part of the picture."""
    arguments = [tile[3] for tile in getattr(image, "tile", ())]
    return {value if isinstance(value, str) else str(value[0]) for value in arguments if value}


def _set_rawmode(image: Image.Image, rawmode: str) -> None:
    assert hasattr(image, "tile")
    image.tile = [
        tile._replace(args=rawmode if isinstance(tile.args, str) else (rawmode, *tile.args[1:]))
        for tile in image.tile
    ]


def _with_pixels(image: Image.Image, levels: NDArray[np.uint8]) -> Image.Image:
    """An image of these pixels that has the metadata of `image`."""
    replaced = Image.fromarray(levels)
    replaced.info = {k: v for k, v in image.info.items() if k != "transparency"}
    return replaced
