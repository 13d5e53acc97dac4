"""The tables of tiles and segments, of which a file may hold thousands, without Construct.

`structure` declares them (TILES, TILE_START, LENGTHS); this module reads and writes the same bytes
in a small part of the time.
"""

from __future__ import annotations

from collections.abc import Iterable

from icmhcodec.container.structure import NUMBER_BYTES, NUMBER_END
from icmhcodec.errors import FormatError

Entry = tuple[int, int, int]  # a tile's symbols, bytes and CRC

_CRC_BYTES = 4


def read_numbers(data: bytes, count: int, what: str) -> tuple[list[int], int]:
    """So many numbers and how many bytes they take; FormatError where they are not valid."""
    numbers, offset = [], 0
    for _ in range(count):
        number, offset = _read_number(data, offset, what)
        numbers.append(number)
    return numbers, offset


def read_tiles(data: bytes, count: int, what: str) -> tuple[list[Entry], int]:
    """The entries of a tile table and how many bytes it takes; FormatError if it is not valid."""
    entries, offset = [], 0
    for _ in range(count):
        symbols, offset = _read_number(data, offset, what)
        length, offset = _read_number(data, offset, what)
        crc = data[offset : offset + _CRC_BYTES]
        if len(crc) < _CRC_BYTES:
            raise _too_short(what)
        entries.append((symbols, length, int.from_bytes(crc, "little")))
        offset += _CRC_BYTES
    return entries, offset


def pack_numbers(numbers: Iterable[int], what: str) -> bytes:
    """The numbers in their shortest form; FormatError where one is not in 0 to 2^32 - 1."""
    packed = bytearray()
    for number in numbers:
        _append_number(packed, number, what)
    return bytes(packed)


def pack_tiles(entries: Iterable[Entry], what: str) -> bytes:
    """A tile table; FormatError where a number or CRC is not in 0 to 2^32 - 1."""
    packed = bytearray()
    for symbols, length, crc in entries:
        _append_number(packed, symbols, what)
        _append_number(packed, length, what)
        packed += _in_range(crc, what).to_bytes(_CRC_BYTES, "little")
    return bytes(packed)


def _read_number(data: bytes, offset: int, what: str) -> tuple[int, int]:
    """An unsigned LEB128 number and where it ends."""
    value = 0
    for position, byte in enumerate(data[offset : offset + NUMBER_BYTES]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            if position and not byte:
                raise FormatError(f"{what}: a number that is not in its shortest form")
            return _in_range(value, what), offset + position + 1
    if len(data) - offset < NUMBER_BYTES:
        raise _too_short(what)
    raise FormatError(f"{what}: a number of more than {NUMBER_BYTES} bytes")


def _append_number(packed: bytearray, number: int, what: str) -> None:
    _in_range(number, what)
    while number >= 0x80:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def _in_range(number: int, what: str) -> int:
    if not 0 <= number < NUMBER_END:
        raise FormatError(f"{what}: a number that is not in 0 to 2^32 - 1")
    return number


def _too_short(what: str) -> FormatError:
    return FormatError(f"{what}: the payload ends too early")
