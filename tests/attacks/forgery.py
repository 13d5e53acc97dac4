"""Files that lie: taken apart, changed, and put together again with every checksum right."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from icmhcodec import container
from icmhcodec.codecs import registry
from icmhcodec.container import Group, Header, Layer, LayerData, MaskKind
from icmhcodec.container.chunks import PREAMBLE_BYTES, file_id
from icmhcodec.container.header import pack_header
from icmhcodec.entropy import coder
from icmhcodec.errors import FormatError
from icmhcodec.masks import coding, partition
from icmhcodec.masks.predictor import Condition
from icmhcodec.pipeline import latent
from tests.container.samples import bounds, varint


@dataclass(frozen=True)
class Piece:
    """A chunk: its type, place and payload; a CRC or a length that are given may be wrong ones."""

    type: bytes
    place: int
    payload: bytes
    crc: bytes | None = None
    length: int | None = None


def pieces(data: bytes, *, as_they_are: bool = False) -> list[Piece]:
    """The chunks of a file of less than 128 of them; `as_they_are` with their CRCs."""
    found, offset = [], PREAMBLE_BYTES
    while offset < len(data):
        start, end = bounds(data, offset)
        crc = data[end : end + 4] if as_they_are else None
        found.append(Piece(data[offset : offset + 4], data[offset + 4], data[start:end], crc))
        offset = end + 4
    return found


def assembled(
    parts: Sequence[Piece],
    *,
    identity: bool = True,
    version: tuple[int, int] = container.VERSION,
) -> bytes:
    """A file of these chunks, whatever they hold, with right CRCs and (or not) the right id."""
    if identity and parts and parts[0].type == b"HEAD":
        crcs = [int.from_bytes(_chunk(part)[-4:], "little") for part in parts[1:]]
        payload = file_id(parts[0].payload, crcs) + parts[0].payload[8:]
        parts = [replace(parts[0], payload=payload), *parts[1:]]
    preamble = container.SIGNATURE + bytes(version)
    return preamble + b"".join(_chunk(part) for part in parts)


def _chunk(part: Piece) -> bytes:
    length = len(part.payload) if part.length is None else part.length
    body = part.type + varint(part.place) + varint(length) + part.payload
    return body + (zlib.crc32(body).to_bytes(4, "little") if part.crc is None else part.crc)


def sealed(data: bytes) -> bytes:
    """Any bytes with the CRCs made right of what looks like chunks, and with the right file id."""
    changed = bytearray(data)
    ends = list(_ends(data))
    for offset, _, end in ends:
        _seal(changed, offset, end)
    if ends and data[PREAMBLE_BYTES:].startswith(b"HEAD"):
        offset, start, end = ends[0]
        crcs = [int.from_bytes(changed[end : end + 4], "little") for _, _, end in ends[1:]]
        if end - start >= 8:
            changed[start : start + 8] = file_id(bytes(changed[start:end]), crcs)
            _seal(changed, offset, end)
    return bytes(changed)


def _seal(data: bytearray, offset: int, end: int) -> None:
    data[end : end + 4] = zlib.crc32(data[offset:end]).to_bytes(4, "little")


def _ends(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Offset, start and end of the payload of each chunk, as far as their lengths lead."""
    offset = PREAMBLE_BYTES
    while True:
        at, numbers = offset + 4, [0, 0]
        for which in range(2):
            shift = 0
            while True:
                if at >= len(data) or shift > 35:
                    return
                numbers[which] |= (data[at] & 127) << shift
                shift += 7
                at += 1
                if data[at - 1] < 128:
                    break
        end = at + numbers[1]
        if end + 4 > len(data):
            return
        yield offset, at, end
        offset = end + 4


def with_header(data: bytes, header: Header) -> bytes:
    """The file with another header, which nobody has checked."""
    first, *others = pieces(data)
    version = (data[8], data[9])
    parts = [replace(first, payload=pack_header(header, version)), *others]
    return assembled(parts, version=version)


def with_layer(data: bytes, number: int, **changes: object) -> bytes:
    """The file with other fields in an entry of its layer table."""
    header = container.parse(data).header
    layers = list(header.layers)
    layers[number] = replace(layers[number], **changes)
    return with_header(data, replace(header, layers=tuple(layers)))


def with_group(data: bytes, number: int, **changes: object) -> bytes:
    """The file with other fields in an entry of its group table."""
    header = container.parse(data).header
    groups = list(header.groups)
    groups[number] = replace(groups[number], **changes)
    return with_header(data, replace(header, groups=tuple(groups)))


def stream(rng: np.random.Generator, symbols: int) -> bytes:
    """A segment of random words that the coder's guards let pass."""
    first = int(rng.integers(2**31, 2**63)).to_bytes(8, "little")
    return first + rng.bytes(4 * int(rng.integers(0, min(symbols, 200) + 1)))


def forged(rng: np.random.Generator, header: Header, masks: Mapping[int, bytes]) -> bytes | None:
    """A file of random streams whose symbols, masks and counts are just what its header says.

    None where a stream decodes to symbols outside of their range.
    """
    try:
        return _forged(rng, header, masks)
    except FormatError:
        return None


def _forged(rng: np.random.Generator, header: Header, masks: Mapping[int, bytes]) -> bytes:
    size = header.width, header.height
    rows, columns = latent.hyper_grid(*size)
    groups: list[Group] = []
    layers: list[Layer] = []
    hyper, data = {}, {}
    for number, group in enumerate(header.groups):
        codec = registry.load(group.codec.id)
        hyper[number] = (stream(rng, codec.hyper_channels * rows * columns),)
        indexes = codec.entropy.hyper_indexes(rows, columns)
        tables = codec.entropy.z_tables
        symbols = coder.decode_segments(hyper[number], indexes, tables, coder.HYPER_LIMIT)
        group = replace(group, hyper_crc=coder.hyper_crc(symbols))
        groups.append(group)
        z_symbols = latent.decode_hyper(codec, group, hyper[number], *size)
        prior = latent.prior_of(codec, z_symbols, *size)
        free = partition.coded_elements(prior.index, group.skip)
        for layer in header.layers:
            if layer.group != number:
                continue
            mask = free
            if layer.mask is MaskKind.EMPTY:
                mask = free & False
            elif layer.mask is MaskKind.EXPLICIT:
                mask = coding.decode(masks[len(layers)], free, prior.index)
            elif layer.mask is MaskKind.DERIVED:
                assert layer.predictor is not None
                condition = Condition(group.quality, layer.level, max(size))
                mask = free & latent.predicted(layer.predictor, prior, condition)
            count = int(mask.sum())
            segments = (stream(rng, count),) if count else ()
            tables = codec.entropy.y_tables
            values = coder.decode_segments(segments, prior.index[mask].numpy(), tables)
            checked = layer.mask in (MaskKind.DERIVED, MaskKind.EXPLICIT)
            data[len(layers)] = LayerData(masks.get(len(layers), b""), segments)
            layers.append(
                replace(
                    layer,
                    symbols=count,
                    symbols_crc=coder.symbols_crc(values) if count else 0,
                    mask_crc=partition.mask_crc(mask) if checked else 0,
                )
            )
            free = free & ~mask
    header = replace(header, groups=tuple(groups), layers=tuple(layers))
    return container.build(header, hyper, data)
