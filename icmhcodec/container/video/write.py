"""Writing a sequence as its frames come."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import BinaryIO

from icmhcodec.container.chunks import STANDARD
from icmhcodec.container.contents import Chunk
from icmhcodec.container.header import NO_ID
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.structure import SEQUENCE_VERSION, SIGNATURE
from icmhcodec.container.video import chunks, frames
from icmhcodec.container.video.chunks import chunk_bytes
from icmhcodec.container.video.frames import AudioPacket, Frame
from icmhcodec.container.video.header import Header, check_header, pack_header
from icmhcodec.container.video.index import Digest, Entries, Entry, Index, pack_index
from icmhcodec.errors import FormatError

_ANCILLARY = re.compile(r"[a-z][A-Za-z][A-Z][A-Za-z]")


class Writer:
    """Writes a sequence to a stream, whose memory does not grow with its length.

    The header goes out with the first frame, on which the sequence id depends; packets of sound
    that come earlier wait for it. `ancillary` is metadata (`metadata.pack`, `pack_tags`) and what
    else goes before all frames. `close` writes the index and leaves the stream open.

    Every method raises FormatError for what a reader would refuse.
    """

    def __init__(
        self,
        stream: BinaryIO,
        header: Header,
        ancillary: Sequence[Chunk] = (),
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.header = replace(header, sequence_id=NO_ID)
        check_header(self.header, limits)
        self._stream = stream
        self._limits = limits
        self._digest = Digest()
        self._entries = Entries(limits.index)
        self._offset = 0
        self._place = 0
        self._frames = 0
        self._count = 0  # frames since the I frame
        self._time = self._end = 0
        self._early: list[AudioPacket] = []
        self._start = self._metadata(ancillary)
        self._closed = False

    def _metadata(self, ancillary: Iterable[Chunk]) -> list[bytes]:
        rank = 0
        written = []
        for chunk in ancillary:
            if chunk.type in chunks.METADATA:
                if chunks.METADATA.index(chunk.type) < rank:
                    raise FormatError(f"write: {chunk.type} stands twice or where it cannot")
                rank = chunks.METADATA.index(chunk.type) + 1
            written.append(self._ancillary(chunk))
        return written

    def _ancillary(self, chunk: Chunk) -> bytes:
        known = (*STANDARD, chunks.AUDIO)
        private = _ANCILLARY.fullmatch(chunk.type) and chunk.type not in known
        if not private and chunk.type not in chunks.METADATA:
            raise FormatError(f"write: {chunk.type!r} is not the type of an ancillary chunk")
        if len(chunk.payload) > self._limits.metadata:
            raise FormatError(f"write: {len(chunk.payload)} bytes of {chunk.type} are too many")
        return self._next(chunk.type, chunk.payload)

    def write_frame(self, frame: Frame, duration: int | None = None) -> None:
        """Write a complete frame; the first is an I frame, and times grow.

        `duration` is how long the frame is shown; without it, the usual step.
        """
        what = f"write, frame {self._frames}"
        frames.check_frame(self.header, frame, what)
        step = self._step(frame, what)
        self._count = 0 if frame.intra else self._count + 1
        first = frames.pack_first(
            self.header, frame, number=self._frames, count=self._count, step=step
        )
        payloads = [first] + [
            frames.pack_later(self.header, frame, layer, number=self._frames)
            for layer in range(1, len(self.header.layers))
        ]
        if max(map(len, payloads)) > self.header.most_bytes:
            raise FormatError(f"{what}: more bytes than its symbols can take")
        types = (chunks.INTRA, chunks.INTRA_LATER) if frame.intra else (
            chunks.INTER, chunks.INTER_LATER)  # fmt: skip
        written = [self._next(types[bool(i)], payload) for i, payload in enumerate(payloads)]
        if not self._frames:
            self._begin(written)
        if frame.intra:
            self._entries.add(Entry(self._frames, frame.time, self._offset))
        for chunk in written:
            self._put(chunk)
        self._frames += 1
        self._time = frame.time
        self._end = frame.time + (self.header.step if duration is None else duration)
        early, self._early = self._early, []
        for packet in early:
            self.write_audio(packet)

    def _step(self, frame: Frame, what: str) -> int | None:
        """Time since the last frame, None for the first."""
        if not self._frames:
            if not frame.intra:
                raise FormatError(f"{what}: the first frame is an I frame")
            return None
        if frame.time <= self._time:
            raise FormatError(f"{what}: its time {frame.time} is not after {self._time}")
        if not frame.intra and self._count + 1 >= self.header.gop:
            raise FormatError(f"{what}: a group has at most {self.header.gop} frames")
        return frame.time - self._time

    def _begin(self, first: Sequence[bytes]) -> None:
        """Write all that stands before the first frame, whose chunks the sequence id needs."""
        crcs = [chunk[-4:] for chunk in first]
        self.header = replace(self.header, sequence_id=sequence_id(pack_header(self.header), crcs))
        preamble = SIGNATURE + bytes(SEQUENCE_VERSION)
        self._stream.write(preamble)
        self._offset = len(preamble)
        payload = pack_header(self.header)
        if len(payload) > self._limits.header:
            raise FormatError(f"sequence header: {len(payload)} bytes are beyond the limit")
        for chunk in (chunk_bytes("SEQH", 0, payload), *self._start):
            self._put(chunk)

    def write_audio(self, packet: AudioPacket) -> None:
        """Write a packet of sound; those up to a frame's time go before the frame."""
        if not 0 <= packet.stream < len(self.header.audio):
            raise FormatError(f"write: the header has no audio stream {packet.stream}")
        payload = frames.pack_audio(packet)
        if len(payload) > self._limits.packet:
            raise FormatError(f"write: an audio packet of {len(packet.data)} bytes is too large")
        if self._frames:
            self._put(self._next(chunks.AUDIO, payload))
        else:
            self._early.append(packet)

    def write_ancillary(self, chunk: Chunk) -> None:
        """Write a private chunk after the frame that was written last."""
        if not self._frames or chunk.type in chunks.METADATA:
            raise FormatError(f"write: {chunk.type} goes before all frames, or after one")
        self._put(self._ancillary(chunk))

    def close(self) -> None:
        """Write the index; nothing can follow it. Closing again does nothing."""
        if self._closed:
            return
        if not self._frames:
            raise FormatError("write: a sequence without frames")
        index = Index(self._digest.value(), self._frames, self._end, tuple(self._entries.kept))
        size = len(chunk_bytes(chunks.INDEX, self._place + 1, pack_index(index, 0)))
        self._put(self._next(chunks.INDEX, pack_index(index, size)))
        self._closed = True

    def _next(self, type_: str, payload: bytes) -> bytes:
        self._place += 1
        return chunk_bytes(type_, self._place, payload)

    def _put(self, chunk: bytes) -> None:
        if self._closed:
            raise FormatError("write: the sequence is closed")
        self._stream.write(chunk)
        self._offset += len(chunk)
        self._digest.add(int.from_bytes(chunk[-4:], "little"))


def sequence_id(header: bytes, crcs: Iterable[bytes]) -> bytes:
    """Id of a header's payload (its id is ignored) and the CRCs of the first frame's chunks."""
    digest = hashlib.sha256(NO_ID + header[len(NO_ID) :])
    digest.update(b"".join(crcs))
    return digest.digest()[: len(NO_ID)]
