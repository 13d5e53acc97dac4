"""Pictures to files: PNG, JPEG, WebP and TIFF."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from PIL import PngImagePlugin

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio import exif as exif_
from icmhcodec.imageio import png, tiff
from icmhcodec.imageio.atomic import atomic_write
from icmhcodec.imageio.picture import Picture, to_eight_bits, to_pil

FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP", "tif": "TIFF",
           "tiff": "TIFF"}  # fmt: skip
STDOUT = "-"
JPEG_QUALITY = 95


def write(
    picture: Picture,
    target: str | os.PathLike[str] | BinaryIO,
    format: str | None = None,
    *,
    quality: int = JPEG_QUALITY,
    force: bool = False,
) -> None:
    """Write a picture with its metadata to a path (whole or not at all), "-" or a stream.

    `format` is png, jpeg, webp (lossless) or tiff; without it a path's extension decides, and
    elsewhere it is png. `quality` is JPEG's, 1 to 100; its colours are not subsampled. For JPEG and
    WebP 16-bit pictures are rounded to 8 bits.

    Raises:
        UsageError: no such format, alpha for JPEG, or the file exists and `force` is not set.
        IcmhError: the format cannot hold the picture, or the system refuses to write.
    """
    if not isinstance(target, str | os.PathLike):
        target.write(encode(picture, format or "png", quality=quality))
        return
    stdout = os.fspath(target) == STDOUT
    try:
        data = encode(picture, format or ("png" if stdout else _suffix(target)), quality=quality)
    except IcmhError as error:
        raise type(error)(f"{target}: {error}") from error
    if stdout:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        atomic_write(target, data, force=force)


def _suffix(target: str | os.PathLike[str]) -> str:
    suffix = Path(target).suffix
    if not suffix:
        raise UsageError("without an extension the format is not known; name one")
    return suffix


def encode(picture: Picture, format: str, *, quality: int = JPEG_QUALITY) -> bytes:
    """The bytes of a file of this picture; arguments and errors as for `write`."""
    known = FORMATS.get(format.lower().removeprefix("."))
    if known is None:
        raise UsageError(f"'{format}' cannot be written; choose png, jpeg, webp or tiff")
    if known == "JPEG" and picture.alpha is not None:
        raise UsageError("JPEG has no alpha channel; choose png, webp or tiff")
    picture = replace(picture, exif=exif_.normalise(picture.exif))
    try:
        if known == "TIFF":
            return tiff.encode(picture)
        if known == "PNG" and picture.depth == 16:
            return png.encode(picture)
        return _by_pillow(to_eight_bits(picture), known, quality)
    except Exception as error:  # Pillow's writers raise nearly everything on doubtful metadata
        reason = " ".join(str(error).split())
        raise IcmhError(f"{known} cannot hold it: {reason}; choose another format") from error


def _by_pillow(picture: Picture, format: str, quality: int) -> bytes:
    image = to_pil(picture)
    image.info.clear()
    buffer = io.BytesIO()
    image.save(buffer, format, **_options(picture, format, quality))
    return buffer.getvalue()


def _options(picture: Picture, format: str, quality: int) -> dict[str, Any]:
    """Pillow's words for the metadata and for how the pixels are coded."""
    exif, xmp = picture.exif, picture.xmp
    options: dict[str, Any] = {"icc_profile": picture.icc} if picture.icc else {}
    if exif:
        options["exif"] = b"Exif\0\0" + exif if format == "JPEG" else exif
    if format == "JPEG":
        options |= {"quality": quality, "subsampling": "4:4:4"}
    if format == "WEBP":
        options |= {"lossless": True, "exact": True}
    if xmp and format == "PNG":
        options["pnginfo"] = texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    elif xmp:
        options["xmp"] = xmp
    return options
