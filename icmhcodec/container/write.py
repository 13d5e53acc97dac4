"""Writing a whole file."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from icmhcodec.container import structure
from icmhcodec.container.chunks import critical_keys, file_id, label, scan
from icmhcodec.container.contents import Chunk, LayerData, Tile
from icmhcodec.container.header import (
    NO_ID,
    Header,
    MaskKind,
    check_header,
    check_hyper_segments,
    pack_header,
    segments_of,
    version_to_write,
)
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.structure import SIGNATURE
from icmhcodec.container.tables import pack_numbers, pack_tiles
from icmhcodec.container.tiles import check_tiles
from icmhcodec.errors import FormatError

_ANCILLARY = re.compile(r"[a-z][A-Za-z][A-Z][A-Za-z]")

Pieces = list[bytes]  # a payload, uncopied


def build(
    header: Header,
    hyper: Mapping[int, Sequence[bytes]],
    layers: Mapping[int, LayerData],
    ancillary: Sequence[Chunk] = (),
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """The complete file, of the lowest version that has codes for all names that have one.

    Fills in the header's file id and its count of ancillary chunks.

    Ancillary chunks of place 0 go to the metadata run, in the order given. Raises FormatError for
    anything that `parse` would refuse.
    """
    header = replace(header, file_id=NO_ID, ancillary=len(ancillary))
    check_header(header, limits)
    if set(hyper) != set(range(len(header.groups))):
        raise FormatError("build: a hyper-latent for each group of the header, and no other")
    if set(layers) != set(range(len(header.layers))):
        raise FormatError("build: the data of each layer of the header, and no other")
    payloads: dict[tuple[str, int], Pieces] = {}
    for index, segments in hyper.items():
        payloads["HYPR", index] = _hyper(header, index, segments)
    for index, layer in layers.items():
        payloads["LAYR", index] = _layer(header, index, layer)
    critical = [(key[0], payloads[key]) for key in critical_keys(header)]
    chunks = [
        _chunk(type_, place, pieces)
        for place, (type_, pieces) in enumerate(_arranged(header, critical, ancillary), 1)
    ]
    version = version_to_write(header)
    identity = file_id(pack_header(header, version), (crc for _, crc in chunks))
    head = _chunk("HEAD", 0, [pack_header(replace(header, file_id=identity), version)])
    preamble = SIGNATURE + bytes(version)
    data = b"".join([preamble, *(piece for pieces, _ in [head, *chunks] for piece in pieces)])
    scan(data, limits=limits)
    return data


def _chunk(type_: str, place: int, payload: Pieces) -> tuple[Pieces, int]:
    """Pieces of a chunk and its CRC."""
    length = sum(len(piece) for piece in payload)
    wire = {"type": type_.encode(), "place": place, "length": length}
    head = structure.pack(structure.CHUNK, wire, f"build, {type_}")
    crc = 0
    for piece in (head, *payload):
        crc = zlib.crc32(piece, crc)
    return [head, *payload, crc.to_bytes(4, "little")], crc


def _hyper(header: Header, index: int, segments: Sequence[bytes]) -> Pieces:
    what = f"build, hyper {index}"
    check_hyper_segments(header, what, len(segments))
    wire = {"group": index, "segments": len(segments)}
    start = structure.pack(structure.HYPER_START, wire, what)
    return [start, *_table(segments), *segments]


def _layer(header: Header, index: int, data: LayerData) -> Pieces:
    layer = header.layers[index]
    what = f"build, {label(header, ('LAYR', index))}"
    explicit = layer.mask is MaskKind.EXPLICIT
    start = structure.pack(structure.LAYER_START, {"layer": index}, what)
    if not header.tiled:
        if data.tiles:
            raise FormatError(f"{what}: tiles, but the picture is not tiled")
        return [start, *_tile(layer.symbols, data.mask, data.segments, explicit, what)]
    columns, rows = header.tiles
    if data.mask or data.segments or len(data.tiles) != columns * rows * bool(layer.symbols):
        raise FormatError(f"{what}: its data are not those of {columns}x{rows} tiles")
    tiles = [
        _tile(tile.symbols, tile.mask, tile.segments, explicit, what) if tile.symbols else []
        for tile in data.tiles
    ]
    return [
        start,
        *_tile_table(data.tiles, tiles, layer.symbols, what),
        *(piece for t in tiles for piece in t),
    ]


def _tile_table(tiles: Sequence[Tile], pieces: Sequence[Pieces], symbols: int, what: str) -> Pieces:
    if not tiles:
        return []
    entries = [
        (tile.symbols, sum(map(len, parts)), tile.crc)
        for tile, parts in zip(tiles, pieces, strict=True)
    ]
    check_tiles(entries, symbols, what)
    return [pack_tiles(entries, what)]


def _tile(
    symbols: int, mask: bytes, segments: Sequence[bytes], explicit: bool, what: str
) -> Pieces:
    if len(segments) != segments_of(symbols):
        raise FormatError(f"{what}: {len(segments)} segments for {symbols} symbols")
    if mask and not explicit:
        raise FormatError(f"{what}: mask bytes, but its mask is not explicit")
    start = pack_numbers([len(mask)] if explicit else [], what)
    return [start, mask, *_table(segments), *segments]


def _table(segments: Sequence[bytes]) -> Pieces:
    return [pack_numbers(map(len, segments[:-1]), "build, segments")]


def _arranged(
    header: Header, critical: list[tuple[str, Pieces]], ancillary: Sequence[Chunk]
) -> list[tuple[str, Pieces]]:
    """Types and payloads in file order."""
    placed: dict[int, tuple[str, Pieces]] = {}
    metadata = []
    for chunk in ancillary:
        if not _ANCILLARY.fullmatch(chunk.type):
            raise FormatError(f"build: {chunk.type!r} is not the type of an ancillary chunk")
        if chunk.place in placed or not 0 <= chunk.place < header.chunks:
            raise FormatError(f"build: {chunk.type} cannot stand at place {chunk.place}")
        if chunk.place:
            placed[chunk.place] = chunk.type, [chunk.payload]
        else:
            metadata.append((chunk.type, [chunk.payload]))
    end = len(critical) - header.has_human
    others = iter([*critical[:end], *metadata, *critical[end:]])
    return [placed.get(place) or next(others) for place in range(1, header.chunks)]
