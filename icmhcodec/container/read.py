"""Reading a whole file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from icmhcodec.container import structure
from icmhcodec.container.chunks import STANDARD, Buffer, Scan, Span, critical_keys, label, scan
from icmhcodec.container.contents import Chunk, Container, LayerData, Tile
from icmhcodec.container.header import Layer, MaskKind, check_hyper_segments, segments_of
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.tables import read_numbers, read_tiles
from icmhcodec.container.tiles import check_tiles
from icmhcodec.errors import FormatError


def parse(data: Buffer, *, partial: bool = False, limits: Limits = DEFAULT_LIMITS) -> Container:
    """Everything that a file or part holds; FormatError or NewerVersionError if it is not valid.

    Chunks that are not there are listed in `missing`. With `partial`, damaged ones are too, and
    `damage` says what was wrong with them.
    """
    found = scan(data, partial=partial, limits=limits)
    hyper: dict[int, tuple[bytes, ...]] = {}
    layers: dict[int, LayerData] = {}
    damage, unreadable = list(found.damage), []
    for span in found.spans[1:]:
        try:
            if span.type == "HYPR":
                hyper[span.index] = _hyper(found, span)
            elif span.type == "LAYR":
                layers[span.index] = _layer(found, span)
        except FormatError as error:
            if not partial:
                raise
            damage.append(str(error))
            unreadable.append(label(found.header, span.key))
    missing = (*found.missing, *unreadable)
    return Container(found.header, hyper, layers, _ancillary(found), missing, tuple(damage))


def _hyper(found: Scan, span: Span) -> tuple[bytes, ...]:
    what = f"hyper {span.index}"
    start = _start(structure.HYPER_START, found, span, what)
    check_hyper_segments(found.header, what, start.segments)
    return segments_in(found.view, span.start + start.size, span.end, start.segments, what)


def _layer(found: Scan, span: Span) -> LayerData:
    layer = found.header.layers[span.index]
    what = label(found.header, span.key)
    explicit = layer.mask is MaskKind.EXPLICIT
    start = span.start + _start(structure.LAYER_START, found, span, what).size
    if not found.header.tiled:
        return LayerData(*_tile(found.view, start, span.end, layer.symbols, explicit, what))
    if not layer.symbols:
        return LayerData(segments=segments_in(found.view, start, span.end, 0, what))
    tiles = []
    table = _tile_table(found, start, span.end, layer, what)
    for number, (symbols, crc, first, end) in enumerate(table):
        part = f"{what}, tile {number}"
        mask, segments = (
            _tile(found.view, first, end, symbols, explicit, part) if symbols else (b"", ())
        )
        tiles.append(Tile(symbols, crc, mask, segments))
    return LayerData(tiles=tuple(tiles))


def _start(declared: Any, found: Scan, span: Span, what: str) -> Any:
    end = min(span.end, span.start + 2 * structure.NUMBER_BYTES)
    return structure.unpack(declared, bytes(found.view[span.start : end]), what)


def _tile_table(
    found: Scan, start: int, end: int, layer: Layer, what: str
) -> Iterator[tuple[int, int, int, int]]:
    """Each tile of a layer: its symbols, their CRC, and where it begins and ends."""
    columns, rows = found.header.tiles
    most = start + structure.TILE_BYTES * columns * rows
    table = bytes(found.view[start : min(end, most)])
    entries, size = read_tiles(table, columns * rows, what)
    start += size
    if sum(length for _, length, _ in entries) != end - start:
        raise FormatError(f"{what}: its tiles do not end where the payload does")
    check_tiles(entries, layer.symbols, what)
    for symbols, length, crc in entries:
        yield symbols, crc, start, start + length
        start += length


def _tile(
    view: memoryview, start: int, end: int, symbols: int, explicit: bool, what: str
) -> tuple[bytes, tuple[bytes, ...]]:
    """Mask and segments of the bytes from start to end."""
    head = bytes(view[start : min(end, start + structure.NUMBER_BYTES)])
    lengths, size = read_numbers(head, int(explicit), f"{what}, mask")
    mask_start = start + size
    mask_end = mask_start + sum(lengths)
    if mask_end > end:
        raise FormatError(f"{what}: its mask is longer than the payload")
    mask = bytes(view[mask_start:mask_end])
    return mask, segments_in(view, mask_end, end, segments_of(symbols), what)


def segments_in(view: memoryview, start: int, end: int, count: int, what: str) -> tuple[bytes, ...]:
    """Segments of the bytes from start to end: lengths of all but the last, then they."""
    if not count:
        if start != end:
            raise FormatError(f"{what}: bytes follow after its end")
        return ()
    table = bytes(view[start : min(end, start + structure.NUMBER_BYTES * (count - 1))])
    lengths, size = read_numbers(table, count - 1, f"{what}, lengths")
    start += size
    segments = []
    for length in lengths:
        segments.append(bytes(view[start : start + length]))
        start += length
    if start > end:
        raise FormatError(f"{what}: its segments are longer than the payload")
    return (*segments, bytes(view[start:end]))


def _ancillary(found: Scan) -> tuple[Chunk, ...]:
    """Ancillary chunks; those of the metadata run have place 0."""
    keys = critical_keys(found.header)
    last = keys[-2] if found.header.has_human else keys[-1]
    metadata = next((s.place for s in found.spans if s.key == last), found.header.chunks)
    chunks = []
    for span in found.spans:
        if not span.critical:
            payload = bytes(found.view[span.start : span.end])
            in_run = span.place > metadata or span.type in STANDARD
            chunks.append(Chunk(span.type, payload, 0 if in_run else span.place))
    return tuple(chunks)
