"""What has to change in metadata when a picture is stored upright."""

from __future__ import annotations

import re
import struct
from typing import Any

from PIL import Image

ORIENTATION = 0x0112
ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
EXIF_DIRECTORY, GPS_DIRECTORY = 0x8769, 0x8825
# Of a TIFF's own tags those that describe the picture; the others say how that file stores it.
_DESCRIPTIVE = (270, 271, 272, ORIENTATION, 282, 283, 296, 305, 306, 315, 33432,
                EXIF_DIRECTORY, GPS_DIRECTORY)  # fmt: skip
_INTEROPERABILITY = 0xA005
_ENTRY_SIZE = 12
_SHORT = 3
_TURNED = 5  # this orientation and above: width and height change places
# What describes both sides: sizes, resolutions and those of the focal plane, by width and height.
_PAIRS = ((256, 257), (282, 283), (0xA002, 0xA003), (0xA20E, 0xA20F))
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")
_XMP_PAIRS = (
    (b"tiff:ImageWidth", b"tiff:ImageLength"),
    (b"tiff:XResolution", b"tiff:YResolution"),
    (b"exif:PixelXDimension", b"exif:PixelYDimension"),
    (b"exif:FocalPlaneXResolution", b"exif:FocalPlaneYResolution"),
)
_XMP_SIDES = {**dict(_XMP_PAIRS), **{height: width for width, height in _XMP_PAIRS}}
_XMP_SIDE = re.compile(b"|".join(_XMP_SIDES))


def normalise(exif: object) -> bytes | None:
    """Exif from its TIFF header on, or None for what no reader would understand."""
    if not isinstance(exif, bytes):
        return None
    exif = exif.removeprefix(b"Exif\0\0")
    try:
        Image.Exif().load(exif)
    except Exception:  # Pillow's parser has no error of its own
        return None
    return exif if _directory(exif, 4) is not None else None


def descriptive(tags: Image.Exif) -> dict[int, Any]:
    """Those of a TIFF's tags that describe the picture, with the Exif and GPS directories."""
    return {
        tag: _directory_of(tags, tag) if tag in (EXIF_DIRECTORY, GPS_DIRECTORY) else tags[tag]
        for tag in _DESCRIPTIVE
        if tag in tags
    }


def descriptive_entries(exif: bytes) -> dict[int, bytes]:
    """The entries, of 12 bytes, of the tags that describe the picture in Exif's first directory."""
    entries = _entries(exif, _directory(exif, 4))
    return {tag: exif[at : at + _ENTRY_SIZE] for tag, at in entries.items() if tag in _DESCRIPTIVE}


def _directory_of(tags: Image.Exif, tag: int) -> dict[int, Any]:
    """A directory but for what is an offset in its old file."""
    return {key: value for key, value in tags.get_ifd(tag).items() if key != _INTEROPERABILITY}


def upright(exif: bytes, orientation: int) -> bytes:
    """The same Exif, of the same length, for a picture that was turned upright.

    Its orientation becomes 1 where it has one. Widths and heights change places where those of the
    picture did, and the thumbnail, which would lie on its side, is unlinked.
    """
    order = ORDERS.get(exif[:4])
    first = _directory(exif, 4)
    if order is None or first is None:
        return exif
    data = bytearray(exif)
    entries = _entries(exif, first)
    if ORIENTATION in entries:
        struct.pack_into(order + "HHIHH", data, entries[ORIENTATION], ORIENTATION, _SHORT, 1, 1, 0)
    if orientation >= _TURNED:
        if EXIF_DIRECTORY in entries:
            entries |= _entries(exif, _directory(exif, entries[EXIF_DIRECTORY] + 8))
        for one, other in _PAIRS:
            if one in entries and other in entries:
                _swap(data, entries[one] + 2, entries[other] + 2, _ENTRY_SIZE - 2)
    next_directory = first.stop
    if orientation > 1 and next_directory + 4 <= len(data):
        struct.pack_into(order + "I", data, next_directory, 0)
    return bytes(data)


def upright_xmp(xmp: bytes, orientation: int) -> bytes:
    """The same XMP for a picture that was turned upright; see `upright`."""
    if orientation >= _TURNED:
        xmp = _XMP_SIDE.sub(lambda match: _XMP_SIDES[match[0]], xmp)
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def _swap(data: bytearray, one: int, other: int, size: int) -> None:
    first, second = data[one : one + size], data[other : other + size]
    data[one : one + size], data[other : other + size] = second, first


def _entries(exif: bytes, directory: range | None) -> dict[int, int]:
    """Where the entry of each tag of a directory lies; none of a directory that is not there."""
    order = ORDERS.get(exif[:4], "<")
    return {struct.unpack_from(order + "H", exif, at)[0]: at for at in directory or ()}


def _directory(exif: bytes, pointer: int) -> range | None:
    """Offsets of the entries of the directory whose offset lies at `pointer`."""
    order = ORDERS.get(exif[:4])
    if order is None or len(exif) < pointer + 4:
        return None
    (offset,) = struct.unpack_from(order + "I", exif, pointer)
    if offset + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(order + "H", exif, offset)
    entries = range(offset + 2, offset + 2 + count * _ENTRY_SIZE, _ENTRY_SIZE)
    return entries if entries.stop <= len(exif) else None
