"""What has to change in metadata when a picture is stored upright."""

from __future__ import annotations

import re
import struct

from PIL import Image

ORIENTATION = 0x0112
XMP = 0x02BC
EXIF_DIRECTORY, GPS_DIRECTORY = 0x8769, 0x8825
# Of a TIFF's own tags those that describe the picture; the others say how that file stores it.
_DESCRIPTIVE = (270, 271, 272, ORIENTATION, 282, 283, 296, 305, 306, 315, 33432,
                EXIF_DIRECTORY, GPS_DIRECTORY)  # fmt: skip
_ENTRY_SIZE = 12
_SHORT = 3
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")


def normalise(exif: object) -> bytes | None:
    """Exif from its TIFF header on, or None for what no reader would understand."""
    if not isinstance(exif, bytes):
        return None
    exif = exif.removeprefix(b"Exif\0\0")
    try:
        Image.Exif().load(exif)
    except Exception:  # Pillow's parser has no error of its own
        return None
    return exif if _first_directory(exif) else None


def descriptive(tags: Image.Exif) -> Image.Exif:
    """Those of a TIFF's tags that describe the picture, with the Exif and GPS directories."""
    kept = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in tags:
            is_directory = tag in (EXIF_DIRECTORY, GPS_DIRECTORY)
            kept[tag] = tags.get_ifd(tag) if is_directory else tags[tag]
    return kept


def tiff_tags(exif: bytes | None, xmp: bytes | None) -> Image.Exif:
    """The tags that a TIFF is to have for this metadata."""
    tags = Image.Exif()
    if exif:
        tags.load(exif)
    for tag in set(tags) - set(_DESCRIPTIVE):
        del tags[tag]
    if xmp:
        tags[XMP] = xmp
    return tags


def upright(exif: bytes, *, turned: bool) -> bytes:
    """The same Exif, byte for byte, with orientation 1; no effect where it has none.

    Where the picture was turned, its thumbnail is unlinked: it would lie on its side.
    """
    directory = _first_directory(exif)
    if directory is None:
        return exif
    order, start, count = directory
    data = bytearray(exif)
    for at in range(start, start + count * _ENTRY_SIZE, _ENTRY_SIZE):
        (tag,) = struct.unpack_from(order + "H", data, at)
        if tag == ORIENTATION:
            struct.pack_into(order + "HHIHH", data, at, tag, _SHORT, 1, 1, 0)
    next_directory = start + count * _ENTRY_SIZE
    if turned and next_directory + 4 <= len(data):
        struct.pack_into(order + "I", data, next_directory, 0)
    return bytes(data)


def upright_xmp(xmp: bytes) -> bytes:
    """The same XMP, byte for byte, with tiff:Orientation 1 where it has one."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def _first_directory(exif: bytes) -> tuple[str, int, int] | None:
    """Byte order, offset of the first entry and number of entries of the first directory."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return None
    (offset,) = struct.unpack_from(order + "I", exif, 4)
    if offset + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(order + "H", exif, offset)
    start = offset + 2
    return (order, start, count) if start + count * _ENTRY_SIZE <= len(exif) else None
