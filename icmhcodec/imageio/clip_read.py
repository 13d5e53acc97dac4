"""Clips in: frames and packets of sound, one after another, from files, pipes and folders."""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio.clip import (
    MATRICES,
    ClipAudio,
    ClipColour,
    ClipFrame,
    ClipInfo,
    ClipPacket,
    usual_matrix,
)
from icmhcodec.imageio.picture import to_eight_bits
from icmhcodec.imageio.read import read

Source = str | os.PathLike[str] | BinaryIO
Item = ClipFrame | ClipPacket

STDIN = "-"
FOLDER_RATE = Fraction(25)
SMOOTH = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
_SUFFIXES = {".png", ".jpg", ".jpeg"}
# Tags that say of the file, not of the clip, and that its writer makes.
_OWN_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
_RGB, _LIMITED = 0, 1
_DECLARING = ("mp4", "matroska")  # formats whose duration is written down, not guessed
_SLACK = Fraction(1, 2)  # seconds that such a clip may be shorter
_OF_PIPES = "; through a pipe an MP4 needs its index in front (ffmpeg -movflags +faststart)"
_HELD = 1024  # packets of sound that may wait for their frame


class ClipReader:
    """Iterates once over the frames of a clip, upright, and its packets of sound, by time.

    `frames` are the first frame and the one behind the last, counted in the source; times then
    begin at 0. `fps` repeats or drops frames to a rate; of a folder it is the rate (25).

    Raises:
        UsageError: no such file, an empty folder, frames that do not exist.
        IcmhError: not a clip that FFmpeg reads, or a damaged one, or one that was cut off.
    """

    def __init__(
        self,
        source: Source,
        *,
        frames: tuple[int, int | None] = (0, None),
        fps: Fraction | None = None,
    ) -> None:
        self.name = _name(source)
        start, stop = frames
        if start < 0 or (stop is not None and stop <= start):
            raise UsageError(f"--frames {start}:{stop}: a first frame, and one behind the last")
        if fps is not None and fps <= 0:
            raise UsageError(f"--fps {fps}: more than 0")
        self._inner = _opened(source, self.name, fps or FOLDER_RATE)
        if isinstance(self._inner, _Folder):
            fps = None
        self.info = self._inner.info
        self._items = _cut(self._inner.items(), self.info, start, stop, self.name)
        if fps is not None:
            self._items = _resampled(self._items, self.info.time_base, fps)
            self.info = _at_rate(self.info, fps)

    def __iter__(self) -> Iterator[Item]:
        """The items that are left."""
        return self._items

    def close(self) -> None:
        """Let go of the source."""
        self._inner.close()

    def __enter__(self) -> ClipReader:
        """The reader, which is closed at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def _opened(source: Source, name: str, rate: Fraction) -> _Folder | _File:
    if not isinstance(source, str | os.PathLike):
        return _File(source, name)
    if os.fspath(source) == STDIN:
        return _File(sys.stdin.buffer, name)
    path = Path(source)
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    return _Folder(path, rate) if path.is_dir() else _File(os.fspath(path), name)


def _name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return "stdin" if os.fspath(source) == STDIN else os.fspath(source)
    return str(getattr(source, "name", "stream"))


def _cut(
    items: Iterator[Item], info: ClipInfo, start: int, stop: int | None, name: str
) -> Iterator[Item]:
    """Frames from start to stop, and the packets of their time, at times from 0 on."""
    if (start, stop) == (0, None):
        yield from items
        return
    count, origin = 0, None
    for item in items:
        if isinstance(item, ClipFrame):
            count += 1
            if stop is not None and count > stop:
                return
            if count > start:
                origin = item.time if origin is None else origin
                yield ClipFrame(item.pixels, item.time - origin)
        elif origin is not None:
            unit = info.audio[item.stream].time_base
            time = item.time - round(origin * info.time_base / unit)
            if time >= 0:
                yield ClipPacket(item.stream, time, item.duration, item.data)
    if origin is None:
        raise UsageError(f"{name}: it has {count} frames, none after the first {start}")


def _resampled(items: Iterator[Item], time_base: Fraction, fps: Fraction) -> Iterator[Item]:
    """Each frame as often as it is the nearest at the rate's times."""
    unit = time_base * fps
    last: ClipFrame | None = None
    tick = step = 0
    for item in items:
        if isinstance(item, ClipPacket):
            yield item
            continue
        now = int(item.time * unit + Fraction(1, 2))
        if last is not None:
            step = item.time - last.time
            for number in range(tick, now):
                yield ClipFrame(last.pixels, number)
        last, tick = item, now
    if last is not None:
        end = int((last.time + step) * unit + Fraction(1, 2))
        for number in range(tick, end if step else tick + 1):
            yield ClipFrame(last.pixels, number)


def _at_rate(info: ClipInfo, fps: Fraction) -> ClipInfo:
    seconds = None if info.frames is None or not info.rate else info.frames / info.rate
    frames = None if seconds is None else round(seconds * fps)
    return replace(info, time_base=1 / fps, rate=fps, step=1, frames=frames)


class _Folder:
    """Pictures of one size in a folder, sorted as people count."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        self._path = path
        self._files = sorted(
            (file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES), key=_counted
        )
        if not self._files:
            raise UsageError(f"{path}: the folder has no .png or .jpg file")
        height, width, _ = _pixels(self._files[0]).shape
        colour = ClipColour(1, 13, _RGB, True)  # sRGB
        self.info = ClipInfo(width, height, 1 / rate, rate, colour=colour, frames=len(self._files))

    def items(self) -> Iterator[Item]:
        for number, file in enumerate(self._files):
            pixels = _pixels(file)
            if pixels.shape[:2] != (self.info.height, self.info.width):
                size = f"{pixels.shape[1]}x{pixels.shape[0]}"
                raise IcmhError(f"{file}: {size}, but {self._files[0].name} is of another size")
            yield ClipFrame(pixels, number)

    def close(self) -> None:
        pass


def _counted(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _pixels(path: Path) -> NDArray[Any]:
    pixels = to_eight_bits(read(path)).pixels
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


class _File:
    """A file or pipe that FFmpeg reads."""

    def __init__(self, file: Any, name: str) -> None:
        self._name = name
        self._reformatter: Any = VideoReformatter()
        with _one_line(name):
            self._container = av.open(file, metadata_errors="replace")
        piped = not isinstance(file, str) and not file.seekable()
        self._hint = _OF_PIPES if piped and "mp4" in self._container.format.name else ""
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        streams = self._container.streams
        if not streams.video:
            raise IcmhError(f"{self._name}: there are no moving pictures in it")
        self._video = streams.video[0]
        self._video.thread_type = "AUTO"
        self._audio = [stream for stream in streams.audio if stream.codec_context is not None]
        start = Fraction(max(0, self._container.start_time or 0), 1_000_000)
        self._time_base = Fraction(self._video.time_base)
        self._shift = round(start / self._time_base)
        self._audio_shifts = [round(start / Fraction(stream.time_base)) for stream in self._audio]
        self._reached = Fraction(0)
        self._decoded = self._demuxed()
        self._early: list[Any] = []
        for item in self._decoded:  # rotation and colours are known from the first frame on
            self._early.append(item)
            if isinstance(item, av.VideoFrame):
                break
        else:
            raise IcmhError(f"{self._name}: no frame of it can be decoded; is it cut off?")
        self.info = self._described(self._early[-1])

    def _described(self, frame: Any) -> ClipInfo:
        turned = self._turns(frame) % 2 == 1
        width, height = frame.width, frame.height
        rate = Fraction(self._video.average_rate or self._video.guessed_rate or 0)
        aspect = Fraction(self._video.sample_aspect_ratio or 1) or Fraction(1)
        step = round(1 / (rate * self._time_base)) if rate else 0
        seconds = Fraction(self._container.duration or 0, 1_000_000)
        self._colour = ClipColour(
            int(frame.color_primaries), int(frame.color_trc), self._matrix(frame), self._full(frame)
        )
        return ClipInfo(
            width=height if turned else width,
            height=width if turned else height,
            time_base=self._time_base,
            rate=rate,
            step=max(1, step),
            aspect=1 / aspect if turned else aspect,
            colour=self._colour,
            audio=tuple(_described_audio(stream) for stream in self._audio),
            tags={k: v for k, v in self._container.metadata.items() if k.lower() not in _OWN_TAGS},
            frames=self._video.frames or round(seconds * rate) or None,
        )

    def _matrix(self, frame: Any) -> int:
        if frame.format.is_rgb:
            return _RGB
        matrix = int(frame.colorspace)
        return matrix if matrix in MATRICES else usual_matrix(frame.width, frame.height)

    def _full(self, frame: Any) -> bool:
        return bool(frame.format.is_rgb or int(frame.color_range) == 2)

    def _turns(self, frame: Any) -> int:
        """Quarter turns to the left that make it upright."""
        turns: int = round(frame.rotation / 90) % 4
        return turns

    def items(self) -> Iterator[Item]:
        waiting: deque[ClipPacket] = deque()
        for item in self._all():
            if isinstance(item, ClipPacket):
                waiting.append(item)
                if len(waiting) > _HELD:
                    yield waiting.popleft()
                continue
            frame = self._frame(item)
            while waiting and self._seconds(waiting[0]) <= frame.time * self._time_base:
                yield waiting.popleft()
            yield frame
        yield from waiting
        self._check_end()

    def _all(self) -> Iterator[Any]:
        while self._early:
            yield self._early.pop(0)
        yield from self._decoded

    def _seconds(self, packet: ClipPacket) -> Fraction:
        return packet.time * self.info.audio[packet.stream].time_base

    def _demuxed(self) -> Iterator[Any]:
        """Decoded frames and packets of sound as the file has them."""
        times = [0] * len(self._audio)
        with _one_line(self._name, self._hint):
            for packet in self._container.demux(self._video, *self._audio):
                if packet.dts is not None or packet.pts is not None:
                    self._note_end(packet)
                if packet.stream is self._video:
                    yield from packet.decode()
                elif packet.size:
                    index = self._audio.index(packet.stream)
                    time = packet.pts if packet.pts is not None else packet.dts
                    time = times[index] if time is None else time - self._audio_shifts[index]
                    duration = packet.duration or 0
                    times[index] = time + duration
                    yield ClipPacket(index, time, duration, bytes(packet))

    def _note_end(self, packet: Any) -> None:
        time = packet.pts if packet.pts is not None else packet.dts
        end = (time + (packet.duration or 0)) * Fraction(packet.time_base)
        self._reached = max(self._reached, end)

    def _check_end(self) -> None:
        """FFmpeg takes a file that was cut off for one that ends: see what its header says."""
        if not any(name in self._container.format.name for name in _DECLARING):
            return
        start = Fraction(self._container.start_time or 0, 1_000_000)
        seconds = Fraction(self._container.duration or 0, 1_000_000)
        if self._reached - start + _SLACK < seconds:
            has = f"{float(self._reached - start):.1f} of {float(seconds):.1f} s are there"
            raise IcmhError(f"{self._name}: it was cut off, {has}; get it again")

    def _frame(self, frame: Any) -> ClipFrame:
        if frame.pts is None:
            raise IcmhError(f"{self._name}: a frame without a time; remux it (to mkv or mp4)")
        with _one_line(self._name):
            pixels = self._upright(frame)
        if pixels.shape[:2] != (self.info.height, self.info.width):
            raise IcmhError(f"{self._name}: its frames change size; cut it where they do")
        time = frame.pts * Fraction(frame.time_base) / self._time_base
        return ClipFrame(pixels, round(time) - self._shift)

    def _upright(self, frame: Any) -> NDArray[Any]:
        turns, matrix = self._turns(frame), self._matrix(frame)
        converted = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=MATRICES.get(matrix),
            src_color_range=2 if self._full(frame) else _LIMITED,
            interpolation=SMOOTH,
            threads=1,
        )
        return np.ascontiguousarray(np.rot90(converted.to_ndarray(), turns))

    def close(self) -> None:
        self._container.close()


def _described_audio(stream: Any) -> ClipAudio:
    context = stream.codec_context
    layout = {1: "mono", 2: "stereo"}.get(context.layout.nb_channels, context.layout.name)
    return ClipAudio(
        context.codec.canonical_name,
        context.sample_rate,
        layout,
        Fraction(stream.time_base),
        bytes(context.extradata or b""),
    )


@contextmanager
def _one_line(name: str, hint: str = "") -> Iterator[None]:
    """FFmpeg's errors as ours."""
    try:
        yield
    except av.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise IcmhError(f"{name}: not a clip that can be read: {reason}{hint}") from error
