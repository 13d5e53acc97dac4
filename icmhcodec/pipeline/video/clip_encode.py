"""Clips to sequences: frames are coded as they come, and sound is copied between them."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Protocol

from icmhcodec.codecs.contract import QUALITY_UNIT
from icmhcodec.container import Chunk
from icmhcodec.container.video import AudioPacket, Frame, Header, Writer, pack_tags
from icmhcodec.container.video.header import pack_header
from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio.clip import ClipFrame, ClipInfo, ClipPacket
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.video import rate
from icmhcodec.pipeline.video.clip import header_fields
from icmhcodec.pipeline.video.encode import Picture, encode_frames
from icmhcodec.pipeline.video.plan import Options, make_header, make_plan

Advance = Callable[[int], None]
_CHUNK = 24  # more than the frame of a chunk takes, and the signature


class Clip(Protocol):
    """Frames and packets of sound by time, as `ClipReader` gives them, and what they are of."""

    info: ClipInfo

    def __iter__(self) -> Iterator[ClipFrame | ClipPacket]:
        """The items, once."""


@dataclass
class EncodedClip:
    """What was written: bytes of the whole, of packets of sound, and of layers by task.

    `quality` is the mean over frames, `bpp` bits per pixel and frame without sound, `met` whether
    they are within what was asked for.
    """

    width: int
    height: int
    frames: int = 0
    size: int = 0
    sound: int = 0
    layers: Counter[str] = field(default_factory=Counter)
    quality: float = 0.0
    met: bool = True

    @property
    def bpp(self) -> float:
        """Bits per pixel and frame, without sound."""
        return 8 * (self.size - self.sound) / (self.frames * self.width * self.height)


def encode_clip(
    networks: Networks,
    base: str,
    clip: Clip,
    stream: BinaryIO,
    options: Options,
    *,
    sound: bool = True,
    strip: bool = False,
    advance: Advance | None = None,
) -> EncodedClip:
    """Write a clip as a sequence; memory does not grow with its length.

    `strip` leaves its tags out, `advance` is told of every frame. Errors: those of `make_header`,
    of the clip, and of the stream.
    """
    if options.bpp is not None and not (math.isfinite(options.bpp) and options.bpp > 0):
        raise UsageError(f"a target of {options.bpp} bits per pixel: give a finite number above 0")
    info = clip.info
    header = make_header(
        networks, base, options, info.width, info.height, **header_fields(info, sound)
    )
    plan = make_plan(networks, header, options if options.portable else None)
    tags = [pack_tags(info.tags)] if info.tags and not strip else []
    done = EncodedClip(info.width, info.height)
    out = _Counted(stream, done, _beginning(header, tags))
    waiting: deque[tuple[int, ClipPacket]] = deque()
    with closing(_pictures(clip, waiting, sound)) as pictures:
        coded = (
            encode_frames(plan, pictures)
            if options.bpp is None
            else rate.frames_within(plan, pictures, options.bpp, lambda: out.spent)
        )
        with closing(coded) as frames:
            _write(out, header, tags, frames, waiting, advance)
    done.met = options.bpp is None or done.bpp <= options.bpp
    return done


def _write(
    out: _Counted,
    header: Header,
    tags: list[Chunk],
    frames: Iterable[Frame],
    waiting: deque[tuple[int, ClipPacket]],
    advance: Advance | None,
) -> None:
    """Frames, each after the sound that goes before it, and the index."""
    done, writer = out.done, None
    total = 0  # of qualities
    for number, frame in enumerate(frames):
        if writer is None:
            header = _with_quality(header, frame)
            writer = Writer(out, header, tags)  # type: ignore[arg-type]
        else:
            _write_sound(done, writer, waiting, number)
        quality = frame.qualities[0] if frame.qualities else header.latents[0].quality
        usual = quality == header.latents[0].quality
        writer.write_frame(replace(frame, qualities=None) if usual else frame)
        done.frames, total = number + 1, total + quality
        done.quality = total / done.frames / QUALITY_UNIT
        for latent in frame.latents.values():
            for layer, data in zip(header.layers, latent.layers, strict=True):
                done.layers[layer.task] += len(data.mask) + sum(map(len, data.segments))
        if advance is not None:
            advance(1)
    if writer is None:
        raise IcmhError("a clip without frames")
    _write_sound(done, writer, waiting, done.frames)
    writer.close()


def _write_sound(
    done: EncodedClip, writer: Writer, waiting: deque[tuple[int, ClipPacket]], number: int
) -> None:
    """Write the packets that go before a frame."""
    while waiting and waiting[0][0] <= number:
        packet = waiting.popleft()[1]
        writer.write_audio(AudioPacket(packet.stream, packet.time, packet.duration, packet.data))
        done.sound += len(packet.data)


def _pictures(
    clip: Clip, waiting: deque[tuple[int, ClipPacket]], sound: bool
) -> Generator[Picture, None, None]:
    """The frames; packets of sound wait aside, each with the number of frames before it."""
    count, last = 0, -math.inf
    for item in clip:
        if isinstance(item, ClipPacket):
            if sound:
                waiting.append((count, item))
            continue
        if item.time <= last:
            raise IcmhError(
                f"frame {count} is shown no later than the one before it; give --fps, or remux"
            )
        count, last = count + 1, item.time
        yield Picture(item.time, item.pixels)


def _with_quality(header: Header, first: Frame) -> Header:
    """The header with the quality of the first frame, if that is not the header's."""
    if first.qualities is None:
        return header
    (quality,) = set(first.qualities)
    latents = tuple(replace(latent, quality=quality) for latent in header.latents)
    return replace(header, latents=latents)


def _beginning(header: Header, tags: list[Chunk]) -> int:
    """Bytes before the first frame, or a few more."""
    return sum(len(part) + _CHUNK for part in (pack_header(header), *(t.payload for t in tags)))


class _Counted:
    """A stream that counts what is written to it."""

    def __init__(self, stream: BinaryIO, done: EncodedClip, beginning: int) -> None:
        self.done = done
        self._stream = stream
        self._beginning = beginning

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        self.done.size += len(data)

    @property
    def spent(self) -> int:
        """Bytes without sound, those before the first frame included though it is yet to come."""
        return self.done.size - self.done.sound or self._beginning
