from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec.container import structure
from icmhcodec.container.tables import pack_numbers, pack_tiles, read_numbers, read_tiles
from icmhcodec.errors import FormatError

# All lengths of a number: the least and the largest of each, and any between.
ENDS = [0, 1, *(end - less for end in (2**7, 2**14, 2**21, 2**28, 2**32) for less in (1, 0))]
numbers = st.sampled_from(ENDS[:-1]) | st.integers(0, 2**32 - 1)
entries = st.tuples(numbers, numbers, st.integers(0, 2**32 - 1))
# Bytes that often are numbers, valid or not.
pieces = st.sampled_from(
    [b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\x80\0", b"\xff" * 4 + b"\x0f",
     b"\xff" * 4 + b"\x10", b"\x80" * 4 + b"\1", b"\x80" * 5, b"\x80" * 5 + b"\1"]
)  # fmt: skip
wires = st.lists(pieces | st.binary(max_size=4), max_size=12).map(b"".join)


def outcome(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except FormatError:
        return "refused"


def declared_tiles(wire: bytes, count: int) -> Any:
    table = structure.unpack(structure.TILES, wire, "t", count=count)
    return [(entry.symbols, entry.length, entry.crc) for entry in table.tiles], table.size


def declared_lengths(wire: bytes, count: int) -> Any:
    table = structure.unpack(structure.LENGTHS, wire, "t", count=count)
    return list(table.lengths), table.size


def declared_tile_bytes(table: list[tuple[int, int, int]]) -> bytes:
    tiles = [dict(zip(("symbols", "length", "crc"), entry, strict=True)) for entry in table]
    return structure.pack(structure.TILES, {"tiles": tiles}, "t", count=len(table))


@given(st.lists(entries, max_size=6), st.binary(max_size=3))
@settings(deadline=None)
def test_tile_tables_are_the_declared_ones(table: list[tuple[int, int, int]], after: bytes) -> None:
    wire = pack_tiles(table, "t")
    assert wire == declared_tile_bytes(table)
    expected = table, len(wire)
    assert read_tiles(wire + after, len(table), "t") == expected
    assert declared_tiles(wire + after, len(table)) == expected


@given(st.lists(entries, min_size=1, max_size=4), st.data())
@settings(deadline=None)
def test_damaged_tile_tables_are_refused_as_declared(
    table: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    wire = bytearray(pack_tiles(table, "t"))
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at : at + data.draw(st.integers(0, 2))] = data.draw(pieces)
    damaged = bytes(wire[: data.draw(st.integers(0, len(wire)))])
    count = len(table)
    expected = outcome(lambda: declared_tiles(damaged, count))
    assert outcome(lambda: read_tiles(damaged, count, "t")) == expected


@given(wires, st.integers(0, 4))
@settings(deadline=None)
def test_any_bytes_are_read_or_refused_as_declared(wire: bytes, count: int) -> None:
    read = outcome(lambda: read_numbers(wire, count, "t"))
    assert read == outcome(lambda: declared_lengths(wire, count))
    assert outcome(lambda: read_tiles(wire, count, "t")) == outcome(
        lambda: declared_tiles(wire, count)
    )


@given(st.lists(numbers, max_size=6), st.booleans())
@settings(deadline=None)
def test_numbers_are_the_declared_ones(values: list[int], explicit: bool) -> None:
    wire = pack_numbers(values, "t")
    assert wire == structure.pack(structure.LENGTHS, {"lengths": values}, "t", count=len(values))
    assert read_numbers(wire, len(values), "t") == (values, len(wire))
    for value in values:
        start = structure.pack(structure.TILE_START, {"mask": value}, "t", explicit=explicit)
        assert start == pack_numbers([value] if explicit else [], "t")


@pytest.mark.parametrize("entry", [(-1, 0, 0), (0, 2**32, 0), (0, 0, -1), (0, 0, 2**32)])
def test_numbers_out_of_range_are_not_written(entry: tuple[int, int, int]) -> None:
    with pytest.raises(FormatError):
        pack_tiles([entry], "t")
    with pytest.raises(FormatError):
        declared_tile_bytes([entry])


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"", "too early"),
        (b"\x80", "too early"),
        (b"\x80\0", "shortest"),
        (b"\x80\x80\x80\x80\x10", "2\\^32"),
        (b"\xff" * 20 + b"\1", "more than 5 bytes"),
    ],
)
def test_reasons(wire: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=f"^layer 1, tile 2: .*{reason}"):
        read_numbers(wire, 1, "layer 1, tile 2")
    with pytest.raises(FormatError, match=reason):
        read_tiles(b"\1" + wire, 1, "t")
