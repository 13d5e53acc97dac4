"""Sequences of frames: written, read, cut and joined as streams (formats/icm.md, section 14)."""

from icmhcodec.container.video.chunks import is_sequence
from icmhcodec.container.video.frames import (
    AudioPacket,
    Frame,
    LatentData,
)
from icmhcodec.container.video.header import (
    LATENTS,
    UNKNOWN_COLOUR,
    AudioStream,
    Choice,
    Colour,
    Header,
    Latent,
    Layer,
)
from icmhcodec.container.video.index import Entry, Index
from icmhcodec.container.video.inspect import Inspection, inspect
from icmhcodec.container.video.parts import join_streams, rest_stream, split_stream
from icmhcodec.container.video.read import Reader
from icmhcodec.container.video.tags import pack_tags, unpack_tags
from icmhcodec.container.video.write import Writer

__all__ = [
    "LATENTS",
    "UNKNOWN_COLOUR",
    "AudioPacket",
    "AudioStream",
    "Choice",
    "Colour",
    "Entry",
    "Frame",
    "Header",
    "Index",
    "Inspection",
    "Latent",
    "LatentData",
    "Layer",
    "Reader",
    "Writer",
    "inspect",
    "is_sequence",
    "join_streams",
    "pack_tags",
    "rest_stream",
    "split_stream",
    "unpack_tags",
]
