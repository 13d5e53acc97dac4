"""The chunks of a sequence, one after another from a stream (formats/icm.md, 14.1)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from icmhcodec.container import structure
from icmhcodec.container.chunks import (
    PREAMBLE_BYTES,
    SEQUENCE_TYPE,
    STANDARD,
    check_preamble,
    refusing_newer,
)
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.structure import SEQUENCE_VERSION, SIGNATURE, UnknownFeatureError
from icmhcodec.container.video import tags
from icmhcodec.container.video.header import Header, unpack_header
from icmhcodec.errors import FormatError

INTRA, INTRA_LATER, INTER, INTER_LATER = "IFRM", "ILYR", "PFRM", "PLYR"
AUDIO, INDEX = "aUDi", "INDX"
FIRST, LATER = (INTRA, INTER), (INTRA_LATER, INTER_LATER)
METADATA = (*STANDARD[:3], tags.TYPE)  # in this order, before all frames

BEGINNING_BYTES = PREAMBLE_BYTES + 4  # signature, version and the type of the first chunk
_TYPE = re.compile(rb"[A-Za-z]{4}")
_KNOWN = re.compile("|".join((*FIRST, *LATER, AUDIO, INDEX)).encode())
_BLOCK = 1 << 16
_INDEX_ENTRY_BYTES = 32  # more than an entry takes
# As for pictures: salvaging checks at most so many bytes and passes over what it reads.
_SALVAGE_BYTES = 1 << 20
_SALVAGE_PASSES = 8
_CANDIDATE_BYTES = 1024
_MOST_DAMAGE = 100  # lines; a hostile stream could fill memory with them


def is_sequence(beginning: bytes) -> bool:
    """Whether a file that begins with these bytes (14 or more) is a sequence."""
    kind = beginning[PREAMBLE_BYTES:BEGINNING_BYTES]
    return beginning.startswith(SIGNATURE) and kind == SEQUENCE_TYPE.encode()


@dataclass(frozen=True)
class StreamChunk:
    """A chunk as it stands in the stream, its payload from `start` on; its CRC is right."""

    type: str
    place: int
    offset: int
    data: bytes
    start: int

    @property
    def payload(self) -> memoryview:
        """The bytes of the payload."""
        return memoryview(self.data)[self.start : -4]

    @property
    def crc(self) -> int:
        """The CRC, as stored."""
        return int.from_bytes(self.data[-4:], "little")

    @property
    def critical(self) -> bool:
        """Whether frames cannot be read without the chunk."""
        return self.type[0].isupper()

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"{self.type} at byte {self.offset}"


def chunk_bytes(type_: str, place: int, payload: bytes) -> bytes:
    """A whole chunk."""
    wire = {"type": type_.encode(), "place": place, "length": len(payload)}
    body = structure.pack(structure.CHUNK, wire, f"write, {type_}") + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


class ChunkStream:
    """Iterates over the chunks after the header; holds no more than one of them.

    With `partial` it goes on after damage, of which it gives None and says what it was in `damage`.
    """

    def __init__(
        self, stream: BinaryIO, *, partial: bool = False, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.limits = limits
        self.damage: list[str] = []
        self._window = _Window(stream)
        self._partial = partial
        self._place = 0
        self._metadata = 0
        self._ended = False
        self._spent = 0
        self._window.fill(PREAMBLE_BYTES)
        self.version = check_preamble(memoryview(self._window.peek(PREAMBLE_BYTES)))
        with self._refusing_newer():
            self.header = self._read_header()

    def _read_header(self) -> Header:
        window = self._window
        self.beginning = window.take(PREAMBLE_BYTES)
        if window.fill(4) >= 4 and window.peek(4) == b"HEAD":
            raise FormatError("a picture, not a clip")
        self.head = self._cut(most=self.limits.header)
        if self.head.type != SEQUENCE_TYPE or self.head.place:
            raise FormatError(f"damaged at byte {PREAMBLE_BYTES}: no header of a sequence is here")
        if self.version < SEQUENCE_VERSION:
            raise FormatError("damaged at byte 9: sequences came with format version 1.1")
        self.beginning += self.head.data
        return unpack_header(bytes(self.head.payload), self.version, self.limits)

    @property
    def position(self) -> int:
        """Bytes of the stream that have been given out or passed over."""
        return self._window.offset

    @property
    def size(self) -> int:
        """Bytes of the stream that have been read."""
        return self._window.end

    def __iter__(self) -> Iterator[StreamChunk | None]:
        """The chunks up to the end, None for a stretch of damage.

        Raises:
            FormatError: damage (without `partial`), or something that no version so far has.
            NewerVersionError: something that is not known, in a file of a newer version.
        """
        while True:
            with self._refusing_newer():
                try:
                    chunk = self._next()
                except FormatError as error:
                    if not self._partial or isinstance(error, UnknownFeatureError):
                        raise
                    self.note(str(error))
                    chunk = None
                    if not self._salvage():
                        yield None
                        return
                else:
                    if chunk is None:
                        return
            yield chunk

    def note(self, damage: str) -> None:
        """List what was damaged."""
        if len(self.damage) < _MOST_DAMAGE:
            self.damage.append(damage)

    @contextmanager
    def _refusing_newer(self) -> Iterator[None]:
        with refusing_newer(self.version):
            yield

    def _next(self) -> StreamChunk | None:
        """The next chunk, None at the end of the stream."""
        if not self._window.fill(1):
            return None
        if self._ended:
            raise FormatError(f"damaged at byte {self.position}: bytes follow after the index")
        chunk = self._look()
        self._accept(chunk)
        self._window.take(len(chunk.data))
        return chunk

    def _cut(self, most: int) -> StreamChunk:
        chunk = self._look(most)
        self._window.take(len(chunk.data))
        return chunk

    def _look(self, most: int | None = None) -> StreamChunk:
        """The chunk that the window begins with, its CRC checked."""
        window = self._window
        window.fill(structure.CHUNK_HEAD_BYTES)
        head = window.peek(structure.CHUNK_HEAD_BYTES)
        type_, place, length, start = _chunk_head(head, window.offset)
        most = self._most(type_) if most is None else most
        if length > most:
            what = f"{type_} at byte {window.offset}"
            raise FormatError(f"{what}: {length} bytes are beyond the limit of {most}")
        size = start + length + 4
        if window.fill(size) < size:
            raise _truncated(window.end)
        chunk = StreamChunk(type_, place, window.offset, window.peek(size), start)
        if chunk.crc != zlib.crc32(memoryview(chunk.data)[:-4]):
            raise FormatError(f"damaged: {chunk.name} has a wrong CRC")
        return chunk

    def jump(self, offset: int) -> None:
        """Go on at another byte, where the stream has been sought to."""
        self._window.jump(offset)
        self._place, self._metadata, self._ended = 0, len(METADATA), False

    def _most(self, type_: str) -> int:
        """The most bytes that the payload of a chunk can have."""
        if type_ in (*FIRST, *LATER):
            return self.header.most_bytes
        if type_ == AUDIO:
            return self.limits.packet
        if type_ == INDEX:
            return most_index_bytes(self.limits)
        return self.limits.metadata

    def _accept(self, chunk: StreamChunk) -> None:
        """Refuse what is not known, and what cannot stand after the chunks so far."""
        type_, metadata = chunk.type, self._metadata
        if chunk.critical and type_ not in (*FIRST, *LATER, INDEX):
            raise UnknownFeatureError(f"{chunk.name} is needed and is not known")
        if type_[2].islower():
            raise UnknownFeatureError(f"{chunk.name} has a reserved type")
        if type_ in METADATA:
            fits, metadata = METADATA.index(type_) >= metadata, METADATA.index(type_) + 1
        elif type_ in (INTER, INTER_LATER):
            fits = self.header.inter is not None
        else:
            fits = type_ not in STANDARD
        if not fits or chunk.place <= self._place:
            raise FormatError(f"damaged: {chunk.name} stands twice or where it cannot")
        if type_ in (*FIRST, *LATER, AUDIO, INDEX):
            metadata = len(METADATA)
        self._metadata, self._place, self._ended = metadata, chunk.place, type_ == INDEX

    def _salvage(self) -> bool:
        """Move on to the next intact chunk of a known type; whether there is one."""
        window = self._window
        window.take(1)
        while True:
            match = _KNOWN.search(window.buffer)
            if match is None:
                window.take(max(0, len(window.buffer) - 3))
                if window.fill(_BLOCK) <= 3:
                    window.take(3)
                    return False
                continue
            window.take(match.start())
            if self._spent > _SALVAGE_BYTES + _SALVAGE_PASSES * window.end:
                self.note(f"too much damage: what follows byte {window.offset} was given up")
                return False
            self._spent += _CANDIDATE_BYTES
            try:
                chunk = self._look()
                self._spent += len(chunk.data)
                if chunk.place > self._place and not self._ended:
                    return True
            except FormatError:
                self._spent += len(window.buffer)
            window.take(1)


def most_index_bytes(limits: Limits) -> int:
    """The most bytes that an index takes."""
    return _INDEX_ENTRY_BYTES * (limits.index + 2)


def whole_chunk(data: bytes) -> StreamChunk:
    """The chunk that the bytes are; FormatError where they are none."""
    type_, place, length, start = _chunk_head(data[: structure.CHUNK_HEAD_BYTES], 0)
    chunk = StreamChunk(type_, place, 0, data, start)
    if start + length + 4 != len(data) or chunk.crc != zlib.crc32(memoryview(data)[:-4]):
        raise FormatError("damaged: a chunk with a wrong length or CRC")
    return chunk


def _chunk_head(head: bytes, offset: int) -> tuple[str, int, int, int]:
    """Type, place, length and where the payload begins; `head` is short at the stream's end."""
    if not _TYPE.match(head):
        if len(head) < 4 and head.isalpha():
            raise _truncated(offset + len(head))
        raise FormatError(f"damaged at byte {offset}: no chunk begins here")
    if len(head) < structure.CHUNK_HEAD_BYTES and sum(byte < 0x80 for byte in head[4:]) < 2:
        raise _truncated(offset + len(head))
    wire = structure.unpack(structure.CHUNK, head, f"damaged at byte {offset}, chunk")
    return wire.type.decode(), wire.place, wire.length, wire.size


def _truncated(end: int) -> FormatError:
    return FormatError(f"truncated at byte {end}: the rest of a chunk is missing")


class _Window:
    """A stretch of a stream that may be looked at before it is taken."""

    def __init__(self, stream: BinaryIO) -> None:
        self.buffer = bytearray()
        self.offset = 0  # of the buffer's first byte
        self._stream = stream
        self._open = True

    @property
    def end(self) -> int:
        """Bytes of the stream that were read."""
        return self.offset + len(self.buffer)

    def fill(self, size: int) -> int:
        """Read until so many bytes are in the buffer or the stream ends; how many there are."""
        while self._open and len(self.buffer) < size:
            # What a length says is believed in blocks only: the stream may end sooner.
            block = self._stream.read(min(_BLOCK, size - len(self.buffer)))
            self._open = bool(block)
            self.buffer += block or b""
        return len(self.buffer)

    def peek(self, size: int, at: int = 0) -> bytes:
        """Bytes of the buffer, fewer at its end."""
        return bytes(self.buffer[at : at + size])

    def take(self, size: int) -> bytes:
        """The first bytes, which leave the buffer."""
        taken = self.peek(size)
        del self.buffer[:size]
        self.offset += len(taken)
        return taken

    def jump(self, offset: int) -> None:
        """Begin anew at another byte of the stream."""
        self.buffer.clear()
        self.offset, self._open = offset, True
