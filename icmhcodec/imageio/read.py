"""Pictures from files: PNG, JPEG, WebP, TIFF and AVIF."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio.atomic import read_whole
from icmhcodec.imageio.picture import (
    Picture,
    from_pil,
    orientation_of,
    scale_transparency,
    with_transparent,
)

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")
STDIN = "-"
_SIXTEEN_BIT_COLOUR = re.compile(r"(RGB|RGBA|RGBa|RGBX);16([BLN])")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # tags of TIFF, and values of theirs
_PLANES, _SEPARATE = 284, 2
_BITS = 258
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read(source: str | os.PathLike[str] | bytes | Image.Image) -> Picture:
    """Read a picture of a path, "-" for stdin, the bytes of a file, or a PIL image.

    The result stands upright and its metadata say so. 16-bit grey and RGB stay so, other 16-bit
    samples (CMYK) are cut to 8 bits. Of a JPEG with several pictures (MPO) it is the first.

    Raises:
        UsageError: there is no such file, it is a folder, or may not be read.
        IcmhError: it is empty, no picture, broken, too large, animated or has several pages, its
            samples are floats, or it changed meanwhile.
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
            return _open(data)
        except IcmhError as error:
            raise type(error)(f"{name}: {error}") from error


def _load(source: str | os.PathLike[str] | bytes) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, "the data"
    if os.fspath(source) == STDIN:
        return sys.stdin.buffer.read(), "stdin"
    path = Path(source)
    try:
        return read_whole(path), str(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; name a file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be read: {reason}") from error


def _open(data: bytes) -> Picture:
    """The only picture in `data`."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            kind = "pages" if image.format == "TIFF" else "frames"
            raise IcmhError(f"it has {frames} {kind}; extract the one to be coded first")
        scale_transparency(image)
        # Pillow turns TIFFs as it loads them; elsewhere Exif may stand after the pixels.
        orientation = orientation_of(image) if image.format == "TIFF" else None
        samples = _sixteen_bits(data, image)
        image.load()
        return from_pil(image, samples, orientation)
    except IcmhError:
        raise
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise IcmhError(f"it has more than {limit:,} pixels; scale it down first") from None
    except UnidentifiedImageError:
        raise IcmhError(_unknown(data)) from None
    except Exception as error:  # Pillow's readers raise nearly everything on broken data
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IcmhError(f"it is damaged: {reason}") from error


def _unknown(data: bytes) -> str:
    if data.startswith(_TIFF):
        return "this kind of TIFF cannot be read; convert it to grey or RGB of 8 or 16 bits first"
    if data.startswith(b"GIF8"):
        return "a GIF is no picture here; --clip codes it as a clip"
    return "it is not a PNG, JPEG, WebP, TIFF or AVIF picture"


def _sixteen_bits(data: bytes, image: Image.Image) -> NDArray[Any] | None:
    """The samples [H,W,C] of a 16-bit picture that Pillow has no mode for; None of others.

    Pillow keeps the high byte alone of each sample. Read in the other byte order the high byte
    is the low one, and both together are the sample.
    """
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PLANES) == _SEPARATE and max(tags.get(_BITS, (8,))) > 8:
        raise IcmhError(_unknown(data))
    rawmodes = _rawmodes(image)
    rawmode = rawmodes.pop() if len(rawmodes) == 1 else ""
    if rawmode == "LA;16B":  # four bytes a pixel
        return _loaded(data, "RGBA").view(">u2").astype(np.uint16)
    if rawmode == "I;12":
        values = np.asarray(image)[:, :, None]
        return values << 4 | values >> 8
    if rawmode.startswith("I;16") and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        return ~np.asarray(image).astype(np.uint16)[:, :, None]
    match = _SIXTEEN_BIT_COLOUR.fullmatch(rawmode)
    if match is None:
        return None
    colours, order = match[1], match[2]
    if order == "N":
        order = "L" if sys.byteorder == "little" else "B"
    stored = colours.upper()  # premultiplied ones are divided once they are whole
    high = _loaded(data, f"{stored};16{order}")
    low = _loaded(data, f"{stored};16{'B' if order == 'L' else 'L'}")
    samples = high.astype(np.uint16) << 8 | low
    if colours == "RGBa":
        return _divided(samples)
    transparent = image.info.get("transparency")
    return with_transparent(samples, transparent if colours == "RGB" else None)


def _rawmodes(image: Image.Image) -> set[str]:
    """How the samples lie in the file, in Pillow's words, of each part of the picture."""
    arguments = [tile[3] for tile in getattr(image, "tile", ())]
    return {value if isinstance(value, str) else str(value[0]) for value in arguments if value}


def _loaded(data: bytes, rawmode: str) -> NDArray[Any]:
    """The picture [H,W,C] as Pillow reads it if told that its samples lie like this."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    assert hasattr(image, "tile")
    image.tile = [
        tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
        for tile in image.tile
    ]
    return np.asarray(image)


def _divided(samples: NDArray[Any]) -> NDArray[Any]:
    """Colours [H,W,4] that were multiplied by their alpha, divided by it again and rounded."""
    colours, alpha = samples[:, :, :3].astype(np.uint64), samples[:, :, 3:].astype(np.uint64)
    whole = (colours * 65535 + alpha // 2) // np.maximum(alpha, 1)
    divided: NDArray[Any] = np.concatenate([np.minimum(whole, 65535), alpha], axis=2)
    return divided.astype(np.uint16)
