"""The .icm file: reading, writing, splitting, joining; no torch and no weights (formats/icm.md)."""

from icmhcodec.container import metadata
from icmhcodec.container.chunks import read_header
from icmhcodec.container.contents import Chunk, Container, LayerData, Tile
from icmhcodec.container.header import (
    SEGMENT_SYMBOLS,
    Group,
    Header,
    Layer,
    MaskKind,
    Reference,
)
from icmhcodec.container.inspect import ChunkInfo, inspect, overhead
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.names import HUMAN, valid_name
from icmhcodec.container.parts import join, rest, split
from icmhcodec.container.read import parse
from icmhcodec.container.structure import SIGNATURE, VERSION
from icmhcodec.container.tiles import SQUARE, Region, Span, count_of, tile_regions
from icmhcodec.container.write import build

__all__ = [
    "DEFAULT_LIMITS",
    "HUMAN",
    "SEGMENT_SYMBOLS",
    "SIGNATURE",
    "SQUARE",
    "VERSION",
    "Chunk",
    "ChunkInfo",
    "Container",
    "Group",
    "Header",
    "Layer",
    "LayerData",
    "Limits",
    "MaskKind",
    "Reference",
    "Region",
    "Span",
    "Tile",
    "build",
    "count_of",
    "inspect",
    "join",
    "metadata",
    "overhead",
    "parse",
    "read_header",
    "rest",
    "split",
    "tile_regions",
    "valid_name",
]
