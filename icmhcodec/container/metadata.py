"""Metadata in ancillary chunks: deflated, since a colour profile may outweigh a small picture."""

from __future__ import annotations

import zlib

from icmhcodec.container.contents import Chunk
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.errors import FormatError, UsageError

METADATA = {"iCCp": "icc", "eXIf": "exif", "xMPp": "xmp"}  # chunk type: what it holds, in order


def pack(type_: str, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Chunk:
    """The chunk of a profile, Exif or XMP; UsageError for more than a reader accepts."""
    if len(data) > limits.metadata:
        raise UsageError(
            f"{METADATA.get(type_, type_)}: {len(data)} bytes, at most {limits.metadata}; strip it"
        )
    return Chunk(type_, zlib.compress(data, 9))


def unpack(chunk: Chunk, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """What a metadata chunk holds; FormatError where it is damaged or too large."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(chunk.payload, limits.metadata + 1)
    except zlib.error as error:
        raise FormatError(f"{chunk.type}: {error}; damaged") from error
    if len(data) > limits.metadata:
        raise FormatError(f"{chunk.type}: unpacks to more than {limits.metadata} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise FormatError(
            f"{chunk.type}: its zlib stream does not end where the chunk does; damaged"
        )
    return data
