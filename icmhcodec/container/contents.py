"""What a file holds beside its header."""

from __future__ import annotations

from dataclasses import dataclass

from icmhcodec.container.header import Header


@dataclass(frozen=True)
class Tile:
    """A tile of a layer: its symbols, their CRC (formats/icm.md, 5.4), its mask and segments."""

    symbols: int
    crc: int
    mask: bytes
    segments: tuple[bytes, ...]


@dataclass(frozen=True)
class LayerData:
    """Bytes of a layer: its mask (empty unless it is explicit) and its coded segments.

    In a tiled picture `tiles` holds them instead; a layer of no symbols has none.
    """

    mask: bytes = b""
    segments: tuple[bytes, ...] = ()
    tiles: tuple[Tile, ...] = ()


@dataclass(frozen=True)
class Chunk:
    """An ancillary chunk; place 0 is the metadata run, any other its place in the complete file."""

    type: str
    payload: bytes
    place: int = 0


@dataclass(frozen=True)
class Container:
    """A parsed file: hyper-latents by group, layers by index, what is missing and what damaged."""

    header: Header
    hyper: dict[int, tuple[bytes, ...]]
    layers: dict[int, LayerData]
    ancillary: tuple[Chunk, ...] = ()
    missing: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
