"""The index at the end of a sequence (formats/icm.md, 14.6)."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from itertools import pairwise

from icmhcodec.container import structure
from icmhcodec.container.limits import Limits
from icmhcodec.container.video.chunks import StreamChunk
from icmhcodec.errors import FormatError


@dataclass(frozen=True)
class Entry:
    """An I frame: its number, its presentation time and where its first chunk begins."""

    frame: int
    time: int
    offset: int


@dataclass(frozen=True)
class Index:
    """What the end of a sequence says of it: frames, when the last one ends, where groups begin."""

    digest: bytes
    frames: int
    end: int
    entries: tuple[Entry, ...]

    def before(self, frame: int) -> Entry:
        """The last entry at or before a frame."""
        return [entry for entry in self.entries if entry.frame <= frame][-1]


class Digest:
    """SHA-256 over the CRCs of chunks as they come by."""

    def __init__(self) -> None:
        self.chunks = 0
        self._digest = hashlib.sha256()

    def add(self, crc: int) -> None:
        """Count in the CRC of a chunk."""
        self.chunks += 1
        self._digest.update(crc.to_bytes(4, "little"))

    def value(self) -> bytes:
        """The first 8 bytes."""
        return self._digest.digest()[:8]


class Entries:
    """The I frames of a sequence: all, or every 2^k-th so that they are not too many."""

    def __init__(self, most: int) -> None:
        self.kept: list[Entry] = []
        self._most = most
        self._every = 1
        self._seen = 0

    def add(self, entry: Entry) -> None:
        """Note an I frame."""
        if self._seen % self._every == 0:
            self.kept.append(entry)
        self._seen += 1
        if len(self.kept) > self._most:
            del self.kept[1::2]
            self._every *= 2


def pack_index(index: Index, size: int) -> bytes:
    """Payload of the `INDX` chunk, which takes `size` bytes in all."""
    return structure.pack(structure.INDEX, {**asdict(index), "size": size}, "index")


def unpack_index(chunk: StreamChunk, limits: Limits) -> Index:
    """The index of an `INDX` chunk; FormatError where it is not valid."""
    wire = structure.unpack(structure.INDEX, bytes(chunk.payload), "index")
    if wire.size != len(chunk.data):
        raise FormatError(f"index: {wire.size} bytes, but its chunk has {len(chunk.data)}")
    entries = tuple(Entry(e.frame, e.time, e.offset) for e in wire.entries)
    sound = (
        0 < len(entries) <= limits.index
        and entries[0].frame == 0
        and entries[-1].frame < wire.frames
        and all(a.frame < b.frame and a.offset < b.offset for a, b in pairwise(entries))
    )
    if not sound:
        raise FormatError("index: its entries are not those of a sequence")
    return Index(wire.digest, wire.frames, wire.end, entries)
