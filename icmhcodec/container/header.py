"""The header: what a file holds and what it needs (formats/icm.md, sections 4 and 7)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from icmhcodec.container import structure
from icmhcodec.container.limits import Limits
from icmhcodec.container.names import (
    BUNDLES,
    CODECS,
    HUMAN,
    TASKS,
    Version,
    valid_name,
    version_of,
)
from icmhcodec.container.structure import UnknownFeatureError
from icmhcodec.container.tiles import valid_count
from icmhcodec.errors import FormatError

SEGMENT_SYMBOLS = 1 << 16
MOST_CHANNELS = 1024
MOST_QUALITY = 9 * 256
MOST_SKIP = 64
NO_ID = bytes(8)


class MaskKind(IntEnum):
    """How a layer's elements are chosen among those that no earlier layer holds."""

    FULL = structure.FULL
    EMPTY = structure.EMPTY
    DERIVED = structure.DERIVED
    EXPLICIT = structure.EXPLICIT


def segments_of(symbols: int) -> int:
    """Number of segments that the symbols of a tile are cut into."""
    return -(-symbols // SEGMENT_SYMBOLS)


@dataclass(frozen=True)
class Reference:
    """Weights by id and fingerprint (the first 8 bytes of a SHA-256)."""

    id: str
    fingerprint: bytes


@dataclass(frozen=True)
class Group:
    """One latent: its codec, quality in 1/256, skip index (0 = off) and CRC of hyper-symbols."""

    codec: Reference
    quality: int
    skip: int
    hyper_crc: int


@dataclass(frozen=True)
class Layer:
    """The symbols of one group that one mask selects, for one task; CRCs as in formats/icm.md."""

    group: int
    task: str
    level: int
    mask: MaskKind
    mask_crc: int
    symbols: int
    symbols_crc: int
    predictor: Reference | None = None
    adapter: Reference | None = None

    @property
    def segments(self) -> int:
        """Number of segments that the layer's symbols are cut into in an untiled picture."""
        return segments_of(self.symbols)


@dataclass(frozen=True)
class Header:
    """What the complete file holds; `build` fills in `file_id` and `ancillary`."""

    width: int
    height: int
    channels: int
    depth: int
    groups: tuple[Group, ...]
    layers: tuple[Layer, ...]
    tiles: tuple[int, int] = (1, 1)  # columns and rows
    file_id: bytes = NO_ID
    ancillary: int = 0

    @property
    def chunks(self) -> int:
        """Number of chunks of the complete file, the header's included."""
        return 1 + len(self.groups) + len(self.layers) + self.ancillary

    @property
    def tiled(self) -> bool:
        """Whether symbols are cut along a grid of tiles."""
        return self.tiles != (1, 1)

    @property
    def has_alpha(self) -> bool:
        """Whether the picture has an alpha channel."""
        return self.channels in (2, 4)

    @property
    def has_human(self) -> bool:
        """Whether the complete file has a human layer."""
        return self.layers[-1].task == HUMAN

    @property
    def profile(self) -> str:
        """Name of the file's profile: plain, scalable, machine, simulcast or mixed."""
        tasks = [layer for layer in self.layers if layer.task != HUMAN]
        if not tasks:
            return "plain"
        if len(self.groups) == 1:
            return "machine" if len(self.layers) == 1 else "scalable"
        if len(self.layers) > len(self.groups):
            return "mixed"
        return "simulcast" if self.has_human else "machine"

    def layer_of(self, task: str) -> int | None:
        """Index of a task's layer, None if the file has none."""
        return next((i for i, layer in enumerate(self.layers) if layer.task == task), None)


def most_hyper_symbols(header: Header) -> int:
    """The most symbols that a hyper-latent of this picture can have."""
    return MOST_CHANNELS * -(-header.width // 64) * -(-header.height // 64)


def check_hyper_segments(header: Header, what: str, segments: int) -> None:
    """Raise FormatError for a number of segments that no hyper-latent of this picture has."""
    most = -(-most_hyper_symbols(header) // SEGMENT_SYMBOLS)
    _require(1 <= segments <= most, f"{what}: {segments} segments, but it can have 1 to {most}")


def version_to_write(header: Header) -> Version:
    """The version of the file that is written with this header: the lowest with all its codes."""
    bundles = (ref for layer in header.layers for ref in (layer.predictor, layer.adapter) if ref)
    return max(
        *(version_of(CODECS, group.codec.id) for group in header.groups),
        *(version_of(TASKS, layer.task) for layer in header.layers),
        *(version_of(BUNDLES, bundle.id) for bundle in bundles),
    )


def pack_header(header: Header, version: Version) -> bytes:
    """Payload of the `HEAD` chunk in a file of a version."""
    value = asdict(header)
    for wire, layer in zip(value["layers"], header.layers, strict=True):
        wire["flags"] = {"reserved": 0, "adapter": layer.adapter is not None, "mask": layer.mask}
    return structure.pack(structure.HEADER, value, "header", version=version)


def unpack_header(payload: bytes, version: Version, limits: Limits) -> Header:
    """The header of a `HEAD` payload, checked; FormatError where it is not a valid one."""
    wire = structure.unpack(structure.HEADER, payload, "header", version=version)
    header = Header(
        width=wire.width,
        height=wire.height,
        channels=wire.channels,
        depth=wire.depth,
        groups=tuple(
            Group(Reference(g.codec.id, g.codec.fingerprint), g.quality, g.skip, g.hyper_crc)
            for g in wire.groups
        ),
        layers=tuple(_layer(layer) for layer in wire.layers),
        tiles=(wire.tiles[0], wire.tiles[1]),
        file_id=wire.file_id,
        ancillary=wire.ancillary,
    )
    check_header(header, limits)
    return header


def _layer(wire: Any) -> Layer:
    if wire.flags.reserved:
        raise UnknownFeatureError("header: a layer has a flag that is not known")
    return Layer(
        group=wire.group,
        task=wire.task,
        level=wire.level,
        mask=MaskKind(wire.flags.mask),
        mask_crc=wire.mask_crc or 0,
        symbols=wire.symbols,
        symbols_crc=wire.symbols_crc,
        predictor=wire.predictor and Reference(wire.predictor.id, wire.predictor.fingerprint),
        adapter=wire.adapter and Reference(wire.adapter.id, wire.adapter.fingerprint),
    )


def check_header(header: Header, limits: Limits) -> None:
    """Raise FormatError where a header is inconsistent, out of range or beyond the limits."""
    _check_picture(header, limits)
    _check_counts(header, limits)
    for number, group in enumerate(header.groups):
        _check_group(f"header: group {number}", group)
    for number, layer in enumerate(header.layers):
        _check_layer(f"header: layer {number}", layer)
    _check_order(header)
    _check_symbols(header)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise FormatError(message)


def _check_picture(header: Header, limits: Limits) -> None:
    size = f"header: a picture of {header.width}x{header.height} pixels"
    _require(header.width >= 1 and header.height >= 1, f"{size} is empty")
    _require(max(header.width, header.height) <= limits.side, f"{size} is beyond the limit")
    _require(header.width * header.height <= limits.pixels, f"{size} is beyond the limit")
    if not 1 <= header.channels <= 4:
        raise UnknownFeatureError(f"header: {header.channels} channels are not known")
    if header.depth not in (8, 16):
        raise UnknownFeatureError(f"header: a depth of {header.depth} bits is not known")
    columns, rows = header.tiles
    grid = f"header: a grid of {columns}x{rows} tiles"
    fits = valid_count(header.width, columns) and valid_count(header.height, rows)
    _require(fits, f"{grid} does not fit {header.width}x{header.height} pixels")
    _require(columns * rows <= limits.tiles, f"{grid} is beyond the limit of {limits.tiles}")
    _require(len(header.file_id) == 8, "header: a file id has 8 bytes")


def _check_counts(header: Header, limits: Limits) -> None:
    for what, count, least, most in (
        ("groups", len(header.groups), 1, limits.groups),
        ("layers", len(header.layers), 1, limits.layers),
        ("chunks", header.chunks, 1, limits.chunks),
    ):
        _require(count >= least, f"header: no {what}")
        _require(count <= most, f"header: {count} {what} are beyond the limit of {most}")


def _check_crc(what: str, crc: int) -> None:
    _require(0 <= crc < 1 << 32, f"{what}: {crc} is no CRC-32")


def _check_reference(what: str, reference: Reference) -> None:
    _require(valid_name(reference.id), f"{what}: {reference.id!r} is not a valid name")
    _require(len(reference.fingerprint) == 8, f"{what}: a fingerprint has 8 bytes")


def _check_group(what: str, group: Group) -> None:
    _check_reference(what, group.codec)
    _check_crc(what, group.hyper_crc)
    _require(0 <= group.quality <= MOST_QUALITY, f"{what}: quality {group.quality} is above 9.0")
    _require(0 <= group.skip <= MOST_SKIP, f"{what}: skip index {group.skip} is above {MOST_SKIP}")


def _check_layer(what: str, layer: Layer) -> None:
    what = f"{what} ({layer.task})"
    _require(valid_name(layer.task), f"{what}: not a valid task name")
    _require(0 <= layer.level <= 255, f"{what}: level {layer.level} is above 255")
    _require(layer.symbols >= 0, f"{what}: a negative number of symbols")
    _check_crc(what, layer.symbols_crc)
    _check_crc(what, layer.mask_crc)
    for reference in (layer.predictor, layer.adapter):
        if reference is not None:
            _check_reference(what, reference)
    derived = layer.mask is MaskKind.DERIVED
    _require(derived or layer.predictor is None, f"{what}: a predictor, but no derived mask")
    _require(not derived or layer.predictor is not None, f"{what}: a derived mask, no predictor")
    listed = derived or layer.mask is MaskKind.EXPLICIT
    _require(listed or layer.mask_crc == 0, f"{what}: a mask CRC, but no mask")
    _require(layer.mask is not MaskKind.EMPTY or layer.symbols == 0, f"{what}: empty, with symbols")
    _require(layer.symbols > 0 or layer.symbols_crc == 0, f"{what}: no symbols, but a CRC of them")
    if layer.task == HUMAN:
        _require(layer.mask is MaskKind.FULL, f"{what}: its mask must be full")
        _require(layer.adapter is None and layer.level == 0, f"{what}: no adapter and level 0")


def _check_order(header: Header) -> None:
    groups = [layer.group for layer in header.layers]
    _require(groups == sorted(groups), "header: layers are not sorted by group")
    _require(
        set(groups) == set(range(len(header.groups))),
        "header: a layer without its group, or a group without a layer",
    )
    tasks = [layer.task for layer in header.layers]
    _require(len(set(tasks)) == len(tasks), "header: a task has two layers")
    _require(HUMAN not in tasks[:-1], "header: the human layer is not the last")


def _check_symbols(header: Header) -> None:
    most = 16 * most_hyper_symbols(header)
    for number in range(len(header.groups)):
        symbols = sum(layer.symbols for layer in header.layers if layer.group == number)
        _require(symbols <= most, f"header: group {number} has more symbols than its picture can")
