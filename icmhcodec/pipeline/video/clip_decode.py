"""Sequences to clips: frames are decoded as they come, sound goes through."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from icmhcodec.container.video import AudioPacket, Frame, Header, Reader, unpack_tags
from icmhcodec.container.video.tags import TYPE as TAGS
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.imageio.clip import ClipFrame, ClipPacket
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.video.clip import info_of
from icmhcodec.pipeline.video.decode import Shown, adapters_of, decode_frames, layer_of
from icmhcodec.pipeline.video.plan import make_plan

MOST_WAITING = 1 << 26  # bytes of sound between two frames
PACKET_BYTES = 512  # what a packet takes beside its data


class DecodedClip:
    """Iterates once over the frames of a layer and the packets of sound, by time.

    `task` None stands for the last layer that is here. `frames` are the first frame and the one
    behind the last; times then begin at 0, and of a stream that can be sought in only what they
    need is decoded. With `partial` damage and what depends on it is left out. `layer` is the
    layer's task, `warnings` grow while frames come.

    Errors: FormatError for damage and missing layers, MissingWeightsError, UsageError.
    """

    def __init__(
        self,
        networks: Networks,
        stream: BinaryIO,
        *,
        task: str | None = None,
        partial: bool = False,
        frames: tuple[int, int | None] = (0, None),
    ) -> None:
        self._start, self._stop = frames
        if self._start < 0 or (self._stop is not None and self._stop <= self._start):
            raise UsageError(
                f"frames {self._start}:{self._stop}: a first frame, and one behind the last"
            )
        self._partial = partial
        self._cut = frames != (0, None)
        self._reader = Reader(stream, partial=partial)
        if self._start and stream.seekable():
            self._reader.seek(self._start)
        header = self._reader.header
        self._plan = make_plan(networks, header)
        self._items = iter(self._reader)
        # Packets that were read, each with the number of the frame before it.
        self._waiting: deque[tuple[int, AudioPacket]] = deque()
        self._read = -1
        self._first = self._next_frame()
        if self._first is None:
            raise FormatError("no frame of it is here; a part needs the one with the first layer")
        self.warnings: list[str] = []
        # What the first frame has lost, later ones may have.
        here = len(header.layers) if partial and task is not None else self._first.layers
        self._layer = layer_of(header, task, here)
        self.layer = header.layers[self._layer].task
        self._adapters = adapters_of(networks, self._plan, self._layer, self.warnings)
        # Sound lies with the rest: a part that was split off has none.
        self.info = info_of(header, self._tags())

    def _tags(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for chunk in self._reader.ancillary:
            if chunk.type == TAGS:
                try:
                    found |= unpack_tags(chunk)
                except FormatError as error:
                    if not self._partial:
                        raise
                    self.warnings.append(str(error))
        return found

    def _next_frame(self) -> Frame | None:
        """The next frame; packets before it wait."""
        held = 0
        for item in self._items:
            if isinstance(item, AudioPacket):
                held += len(item.data) + PACKET_BYTES
                if held > MOST_WAITING:
                    raise FormatError(f"more than {MOST_WAITING} bytes of sound without a frame")
                self._waiting.append((self._read, item))
            elif isinstance(item, Frame):
                self._read = item.number
                return item
        return None

    def _frames(self) -> Iterator[Frame]:
        """Frames up to the last that is asked for; with `partial` those that can be decoded."""
        frame, broken = self._first, False
        while frame is not None and (self._stop is None or frame.number < self._stop):
            broken = broken and not frame.intra
            if self._partial:
                broken = broken or frame.layers <= self._layer
            if not broken:
                yield frame
            frame = self._next_frame()

    def __iter__(self) -> Generator[ClipFrame | ClipPacket, None, None]:
        """The items that are left."""
        header = self._reader.header
        shown = decode_frames(self._plan, self._frames(), self._layer, self._adapters)
        origin, last = None, -1
        with closing(shown) as frames:
            for frame in frames:
                last = frame.number
                packets = self._packets_before(last)
                if last < self._start:
                    continue
                if origin is None:
                    origin = frame.time if self._cut else 0
                yield from self._shifted(packets, origin)
                yield ClipFrame(_upright(header, frame), frame.time - origin)
        if last < 0:
            raise FormatError(f"no frame of it has an intact layer '{self.layer}'")
        if origin is None:
            raise UsageError(f"it has {last + 1} frames, none after the first {self._start}")
        yield from self._shifted((packet for _, packet in self._waiting), origin)
        self._note_damage(last)

    def _packets_before(self, number: int) -> list[AudioPacket]:
        """Packets that stand before a frame and were not given out."""
        found = []
        while self._waiting and self._waiting[0][0] < number:
            found.append(self._waiting.popleft()[1])
        return found

    def _shifted(self, packets: Iterable[AudioPacket], origin: int) -> Iterator[ClipPacket]:
        """Packets with times from the origin on; of a cut those before it are left out."""
        header = self._reader.header
        for packet in packets:
            unit = header.audio[packet.stream].time_base
            time = packet.time - round(Fraction(origin) * header.time_base / unit)
            if time >= 0 or not self._cut:
                yield ClipPacket(packet.stream, time, packet.duration, packet.data)

    def _note_damage(self, last: int) -> None:
        """Say what was damaged, and where frames are missing at the end."""
        reader, index = self._reader, self._reader.index
        self.warnings += reader.damage
        if reader.damage or (self._stop is not None and last + 1 >= self._stop):
            return
        if index is not None and last + 1 < index.frames:
            self.warnings.append(
                f"its end is missing: {last + 1} of {index.frames} frames are here"
            )
        elif index is None and self._layer == len(reader.header.layers) - 1:
            self.warnings.append(f"it ends without an index: cut off after frame {last}?")


def _upright(header: Header, frame: Shown) -> NDArray[Any]:
    """Pixels uint8 [H,W,3] as they are to be seen."""
    pixels = np.broadcast_to(frame.pixels, (*frame.pixels.shape[:2], 3))
    return np.ascontiguousarray(np.rot90(pixels, -header.turns))
