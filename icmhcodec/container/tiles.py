"""The grid of tiles that a large picture's symbols are cut along (formats/icm.md, 4.5)."""

from __future__ import annotations

from collections.abc import Sequence

from icmhcodec.errors import FormatError

SQUARE = 64  # pixels; tiles are cut between positions of the hyper-latent

Span = tuple[int, int]  # first and one past the last
Region = tuple[Span, Span]  # rows and columns


def valid_count(length: int, count: int) -> bool:
    """Whether so many tiles cover a side of `length` pixels, none of them empty."""
    squares = -(-length // SQUARE)
    return 1 <= count <= squares and -(-squares // _side(squares, count)) == count


def count_of(length: int, side: int) -> int:
    """Tiles of at most `side` pixels (64 or more) that a side of `length` pixels is cut into."""
    squares = -(-length // SQUARE)
    # Of the counts that give tiles of one side only the least is valid.
    return -(-squares // _side(squares, -(-squares // (side // SQUARE))))


def tile_regions(width: int, height: int, grid: tuple[int, int]) -> list[Region]:
    """The tiles of a valid grid (columns, rows) in their order, in squares of 64x64 pixels."""
    columns, rows = _cuts(width, grid[0]), _cuts(height, grid[1])
    return [(row, column) for row in rows for column in columns]


def check_tiles(entries: Sequence[tuple[int, ...]], symbols: int, what: str) -> None:
    """Refuse a table (symbols, bytes, CRC) that does not fit a layer of so many symbols."""
    if sum(entry[0] for entry in entries) != symbols:
        raise FormatError(f"{what}: its tiles have other symbols than the header says")
    for number, (count, length, crc) in enumerate(entries):
        if bool(count) != bool(length) or (crc and not count):
            raise FormatError(f"{what}, tile {number}: bytes, but no symbols, or the other way")


def _cuts(length: int, count: int) -> list[Span]:
    squares = -(-length // SQUARE)
    side = _side(squares, count)
    return [(start, min(start + side, squares)) for start in range(0, squares, side)]


def _side(squares: int, count: int) -> int:
    return -(-squares // count)
