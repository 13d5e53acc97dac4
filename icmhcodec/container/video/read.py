"""Reading a sequence frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from icmhcodec.container.contents import Chunk, LayerData
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.structure import UnknownFeatureError
from icmhcodec.container.video import chunks, frames
from icmhcodec.container.video.chunks import ChunkStream, StreamChunk
from icmhcodec.container.video.frames import COUNTS, AudioPacket, First, Frame, LatentData
from icmhcodec.container.video.header import LATENTS
from icmhcodec.container.video.index import Digest, Index, unpack_index
from icmhcodec.container.video.write import sequence_id
from icmhcodec.errors import FormatError

Item = Frame | AudioPacket | Chunk
_TAIL_BYTES = 8  # size and CRC of the index chunk


@dataclass(frozen=True)
class Place:
    """Where a frame stands: its number, time, frames since the I frame, place of its chunk."""

    number: int
    time: int
    count: int
    place: int


@dataclass
class _Open:
    """A frame whose later layers may follow, and the CRCs of its chunks."""

    first: First
    number: int
    time: int
    chunks: list[bytes]
    crcs: list[int]
    layers: list[tuple[LayerData, ...]] = field(default_factory=list)

    def frame(self) -> Frame:
        names = LATENTS[:1] if self.first.intra else LATENTS[1:]
        return Frame(
            intra=self.first.intra,
            time=self.time,
            latents={
                name: LatentData(self.first.hyper[i], tuple(layer[i] for layer in self.layers))
                for i, name in enumerate(names)
            },
            crcs=tuple(self.crcs),
            qualities=self.first.qualities,
            number=self.number,
        )


class Reader:
    """Iterates over frames, packets of sound and unknown ancillary chunks of a sequence.

    It holds one frame at a time. Errors come where the damage is, after all frames before it; with
    `partial` it goes on with what does not need what is lost, and `damage` lists what was wrong. At
    the end `index` is the index, None where the stream was cut off or is a part, and `complete`
    says whether nothing is missing. What stands before all frames is in `ancillary` at once.
    """

    def __init__(
        self, stream: BinaryIO, *, partial: bool = False, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.partial = partial
        self._stream = stream
        self._limits = limits
        self._origin = stream.tell() if stream.seekable() else None
        self._start()

    def _start(self) -> None:
        self.index: Index | None = None
        self.complete = False
        self._source = ChunkStream(self._stream, partial=self.partial, limits=self._limits)
        self.header = self._source.header
        self._digest = Digest()
        self._digest.add(self._source.head.crc)
        self._chunks = iter(self._source)
        self._sought = False
        self._open: _Open | None = None
        self._last: Place | None = None
        self._lost = False  # whether P frames wait for an I frame
        self._skipping = False  # whether layers without their frame are to be expected
        self._gap = False  # whether there was damage since the last frame
        self.ancillary, self._ahead = self._metadata()

    @property
    def damage(self) -> list[str]:
        """What was wrong so far."""
        return self._source.damage

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._source.position

    def _metadata(self) -> tuple[tuple[Chunk, ...], list[StreamChunk | None]]:
        """What stands before the first frame, and the chunk after it."""
        found: list[Chunk] = []
        size = 0
        for chunk in self._chunks:
            if chunk is None or chunk.critical or chunk.type == chunks.AUDIO:
                return tuple(found), [chunk]
            size += len(chunk.payload)
            if size > self._limits.metadata:
                raise FormatError(f"metadata: more than {self._limits.metadata} bytes")
            if len(found) == self._limits.chunks:
                raise FormatError(f"metadata: more than {self._limits.chunks} chunks")
            self._digest.add(chunk.crc)
            found.append(Chunk(chunk.type, bytes(chunk.payload), chunk.place))
        return tuple(found), []

    def seek(self, frame: int) -> None:
        """Go on with the last I frame at or before a frame, where the index says where it is.

        Else, and in a part, go to the beginning. The stream must be one that can be sought in.
        """
        if self._origin is None:
            raise FormatError("this stream cannot be sought in")
        index = read_index(self._stream, self._limits)
        self._stream.seek(self._origin)
        self._start()
        entry = index and index.before(frame)
        if not entry or not entry.frame:
            return
        self._ahead, self._sought = [], True
        # An offset of a damaged index may be one that no file can have.
        with suppress(FormatError, OSError, OverflowError, ValueError):
            self._stream.seek(self._origin + entry.offset)
            self._source.jump(entry.offset)
            chunk = next(self._chunks, None)
            if chunk is not None and chunk.type == chunks.INTRA:
                found = frames.unpack_first(self.header, True, chunk.payload, chunk.name)
                if found.number == entry.frame:
                    self._ahead = [chunk]
        if not self._ahead:  # a part: its index has the offsets of the whole
            self._stream.seek(self._origin)
            self._start()

    def __iter__(self) -> Iterator[Item]:
        """Frames as soon as all their layers are here, packets and chunks as they come.

        Raises:
            FormatError: the stream is damaged, cut off inside a chunk, or has layers without their
                frame, as the rest of a split has.
        """
        while self._ahead:
            yield from self._read(self._ahead.pop())
        for chunk in self._chunks:
            yield from self._read(chunk)
        yield from self._finished()

    def _read(self, chunk: StreamChunk | None) -> Iterator[Item]:
        if chunk is None:
            yield from self._finished()
            self._gap = self._skipping = True
            return
        if chunk.type in (*chunks.FIRST, chunks.AUDIO, chunks.INDEX):
            yield from self._finished()
        try:
            item = self._item(chunk)
        except FormatError as error:
            if not self.partial or isinstance(error, UnknownFeatureError):
                raise
            self._source.note(str(error))
            yield from self._finished()
            self._skipping = True
            return
        if item is not None:
            yield item
        if self._open and len(self._open.layers) == len(self.header.layers):
            yield from self._finished()

    def _item(self, chunk: StreamChunk) -> Item | None:
        """What a chunk is for the caller, None for what becomes a part of a frame."""
        if chunk.type == chunks.INDEX:
            self._end(chunk)
            return None
        self._digest.add(chunk.crc)
        if chunk.type in chunks.FIRST:
            self._begin(chunk)
        elif chunk.type in chunks.LATER:
            self._continue(chunk)
        elif chunk.type == chunks.AUDIO:
            return frames.unpack_audio(self.header, chunk.payload, chunk.name)
        else:
            return Chunk(chunk.type, bytes(chunk.payload), chunk.place)
        return None

    def _begin(self, chunk: StreamChunk) -> None:
        intra = chunk.type == chunks.INTRA
        if self._lost and not intra:
            self._skipping = True
            return
        gap, self._gap = self._gap, False
        self._lost = True  # until the frame has turned out to be good
        found = frames.unpack_first(self.header, intra, chunk.payload, chunk.name)
        last = self._follow_intra(found, chunk) if intra else self._follow(found, chunk, gap)
        self._last = last
        self._lost = self._skipping = False
        self._open = _Open(found, last.number, last.time, [chunk.data[-4:]], [found.crc])
        self._open.layers.append(found.layer)

    def _follow_intra(self, found: First, chunk: StreamChunk) -> Place:
        assert found.number is not None
        assert found.time is not None
        last = self._last
        if last is None:
            fits = found.number == 0 or self._sought or self.partial
        else:
            number = found.number - last.number
            fits = found.time > last.time and (number == 1 or (number > 1 and self.partial))
        if not fits:
            raise FormatError(f"{chunk.name}: frame {found.number} does not follow the one before")
        return Place(found.number, found.time, 0, chunk.place)

    def _follow(self, found: First, chunk: StreamChunk, gap: bool) -> Place:
        last = self._last
        # Behind damage, a count may be right because it has come round.
        around = gap and last is not None and chunk.place - last.place >= COUNTS
        if last is None or around or found.count != (last.count + 1) % COUNTS:
            raise FormatError(f"{chunk.name}: a P frame, but the one before it is missing")
        if last.count + 1 >= self.header.gop:
            raise FormatError(f"{chunk.name}: a group of more than {self.header.gop} frames")
        step = self.header.step if found.time is None else found.time
        return Place(last.number + 1, last.time + step, last.count + 1, chunk.place)

    def _continue(self, chunk: StreamChunk) -> None:
        intra = chunk.type == chunks.INTRA_LATER
        found = frames.unpack_later(self.header, intra, chunk.payload, chunk.name)
        opened = self._open
        if opened and opened.first.intra == intra and len(opened.layers) == found.layer:
            opened.chunks.append(chunk.data[-4:])
            opened.crcs.append(found.crc)
            opened.layers.append(found.data)
        elif not self._skipping:
            raise FormatError(
                f"{chunk.name}: layer {found.layer} without what is before it; "
                "join the other part first"
            )

    def _finished(self) -> Iterator[Frame]:
        """The open frame, if there is one."""
        opened, self._open = self._open, None
        if opened is None:
            return
        if opened.number == 0 and len(opened.layers) == len(self.header.layers):
            expected = sequence_id(bytes(self._source.head.payload), opened.chunks)
            if self.header.sequence_id != expected:
                message = "damaged: the sequence id is wrong; the frames are not the header's"
                if not self.partial:
                    raise FormatError(message)
                self._source.note(message)
        yield opened.frame()

    def _end(self, chunk: StreamChunk) -> None:
        index = unpack_index(chunk, self._limits)
        if chunk.place == self._digest.chunks:  # no chunk is missing
            last = self._last.number if self._last else -1
            if index.digest != self._digest.value() or index.frames != last + 1:
                raise FormatError("damaged: the index is of other chunks than those before it")
            self.complete = not self.damage
        self.index = index


def read_index(stream: BinaryIO, limits: Limits = DEFAULT_LIMITS) -> Index | None:
    """The index at a stream's end, None where there is none; moves the stream."""
    end = stream.seek(0, 2)
    if end < _TAIL_BYTES:
        return None
    stream.seek(end - _TAIL_BYTES)
    size = int.from_bytes(stream.read(4), "little")
    if not _TAIL_BYTES < size <= min(end, chunks.most_index_bytes(limits)):
        return None
    stream.seek(end - size)
    with suppress(FormatError):
        chunk = chunks.whole_chunk(stream.read(size))
        if chunk.type == chunks.INDEX:
            return unpack_index(chunk, limits)
    return None
