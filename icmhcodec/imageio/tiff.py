"""TIFF files of 8 or 16 bits, deflated, with all metadata.

Pillow has no 16-bit RGB, and libtiff, with which it compresses, cannot write Exif's directories.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from numpy.typing import NDArray

from icmhcodec.imageio import exif as exif_
from icmhcodec.imageio.picture import Picture, planes_of

_STRIP_BYTES = 1 << 18
_BYTE, _SHORT, _LONG, _UNDEFINED = 1, 3, 4, 7
_CODES = {_SHORT: "H", _LONG: "I"}
_NOTHING = b"II*\0\0\0\0\0"


def encode(picture: Picture) -> bytes:
    """The bytes of a TIFF of this picture (TIFF 6.0, with Adobe's deflate and predictor).

    Exif is laid out as a TIFF: it is the file's beginning, byte for byte, so that its directories
    lie where they were, and what describes the picture goes into the file's own directory too.
    """
    planes = planes_of(picture)
    if planes.shape[2] == 2 and picture.depth == 16:  # hardly a reader takes these
        planes = planes[:, :, [0, 0, 0, 1]]
    height, width, channels = planes.shape
    rows = max(1, _STRIP_BYTES // planes[0].nbytes)
    file = bytearray(picture.exif or _NOTHING)
    order = exif_.ORDERS[bytes(file[:4])]
    offsets, sizes = [], []
    for top in range(0, height, rows):
        strip = _deflated(planes[top : top + rows], order)
        offsets.append(_appended(file, strip))
        sizes.append(len(strip))
    fields: list[tuple[int, int, list[int] | bytes]] = [
        (256, _LONG, [width]),
        (257, _LONG, [height]),
        (258, _SHORT, [picture.depth] * channels),
        (259, _SHORT, [8]),  # compression: deflate
        (262, _SHORT, [2 if channels >= 3 else 1]),  # RGB, or black is zero
        (273, _LONG, offsets),
        (277, _SHORT, [channels]),
        (278, _LONG, [rows]),
        (279, _LONG, sizes),
        (317, _SHORT, [2]),  # predictor: horizontal differences
    ]
    if picture.alpha is not None:
        fields.append((338, _SHORT, [2]))  # extra samples: alpha that is not multiplied in
    if picture.xmp:
        fields.append((700, _BYTE, picture.xmp))
    if picture.icc:
        fields.append((34675, _UNDEFINED, picture.icc))
    entries = exif_.descriptive_entries(picture.exif) if picture.exif else {}
    for tag, kind, values in fields:
        data = values if isinstance(values, bytes) else _packed(order, kind, values)
        inline = data.ljust(4, b"\0")
        place = inline if len(data) <= 4 else struct.pack(order + "I", _appended(file, data))
        entries[tag] = struct.pack(order + "HHI", tag, kind, len(values)) + place
    directory = struct.pack(order + "H", len(entries))
    directory += b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    struct.pack_into(order + "I", file, 4, _appended(file, directory))
    return bytes(file)


def _deflated(rows: NDArray[Any], order: str) -> bytes:
    differences = rows.astype(f"{order}u{rows.itemsize}")
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.tobytes(), 6)


def _packed(order: str, kind: int, values: list[int]) -> bytes:
    return struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)


def _appended(file: bytearray, data: bytes) -> int:
    """Put data at the end, where offsets are even; where that is."""
    file += bytes(len(file) % 2)
    offset = len(file)
    file += data
    return offset
