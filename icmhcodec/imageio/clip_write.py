"""Clips out: MP4, Matroska, Y4M and folders of PNGs, whole or not at all."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio.atomic import atomic_path
from icmhcodec.imageio.clip import MATRICES, UNKNOWN, ClipInfo, ClipPacket, usual_matrix
from icmhcodec.imageio.clip_read import SMOOTH
from icmhcodec.imageio.picture import from_array
from icmhcodec.imageio.write import write

FORMATS = {"mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "matroska", "y4m": "yuv4mpegpipe"}
CODECS = {"x264": "libx264", "ffv1": "ffv1"}
CRF = 16  # x264's; what is lost is not seen
STDOUT = "-"
# Encoders that open streams of these codecs; those of others have their codec's name.
_FRAME = re.compile(r"[0-9]{6,}\.png")  # what a folder of frames holds
_ENCODERS = {"opus": "libopus", "mp3": "libmp3lame", "vorbis": "libvorbis"}


class ClipWriter:
    """Writes frames, and packets of sound as they are; the file gets its name at `close`.

    `target` is a file (.mp4, .mov, .mkv, .y4m), "-" with a `format`, or a folder (a name without an
    extension, or one that ends with a slash) for PNGs. `codec` is x264 (4:2:0 where both sides are
    even, else 4:4:4) or ffv1, which is exact. Y4M and folders keep neither sound nor times; `sound`
    says whether sound is kept. As a context manager it leaves nothing behind after an error.

    Raises:
        UsageError: no such format or codec, or the target exists and `force` is not set.
        IcmhError: the format cannot hold it, or the system refuses to write.
    """

    def __init__(
        self,
        target: str | os.PathLike[str],
        info: ClipInfo,
        *,
        codec: str = "x264",
        format: str | None = None,
        force: bool = False,
    ) -> None:
        self.name = "stdout" if os.fspath(target) == STDOUT else os.fspath(target)
        kind = format or Path(target).suffix.removeprefix(".").lower()
        folder = not kind or os.fspath(target).endswith(("/", os.sep))
        if not folder and kind not in FORMATS:
            raise UsageError(f"{self.name}: '{kind}' cannot be written; {', '.join(FORMATS)} can")
        if codec not in CODECS:
            raise UsageError(f"codec '{codec}' is not known; choose {' or '.join(CODECS)}")
        if folder and self.name == "stdout":
            raise UsageError("stdout: say in which format; mkv and y4m go through pipes")
        self.sound = not folder and kind != "y4m"
        self._stack = ExitStack()
        self._closed = False
        with self._undone():
            if self.name == "stdout":
                place: Any = sys.stdout.buffer
            else:
                if folder and force:
                    _refuse_foreign(Path(target))
                place = self._stack.enter_context(atomic_path(target, force=force))
            self._inner: _Folder | _File
            if folder:
                self._inner = _Folder(place)
            else:
                self._inner = _File(place, self.name, info, codec, FORMATS[kind])

    def write_frame(self, pixels: NDArray[Any], time: int) -> None:
        """Write a frame, uint8 [H,W,3], shown at a time in the clip's units."""
        with self._undone():
            self._inner.write_frame(pixels, time)

    def write_audio(self, packet: ClipPacket) -> None:
        """Write a packet of sound, where the format keeps sound."""
        with self._undone():
            self._inner.write_audio(packet)

    def close(self) -> None:
        """Finish the file and give it its name; again it does nothing."""
        if self._closed:
            return
        self._closed = True
        with self._undone():
            self._inner.finish()
        self._stack.close()

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Leave nothing behind when an error comes up meanwhile, and say it in one line."""
        try:
            yield
        except av.FFmpegError as error:
            self.abandon()
            reason = error.strerror or type(error).__name__
            raise IcmhError(f"{self.name}: cannot be written: {reason}") from error
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Give up what was written so far."""
        with suppress(Exception):  # what FFmpeg says of an end too soon is of no matter
            self._inner.close()
        cause = _AbandonedError()
        self._stack.__exit__(_AbandonedError, cause, None)

    def __enter__(self) -> ClipWriter:
        """The writer, which is closed at the end, or given up after an error."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it, or leave nothing behind."""
        if error is None:
            self.close()
        else:
            self.abandon()


class _AbandonedError(Exception):
    """The writing was given up."""


def _refuse_foreign(folder: Path) -> None:
    """UsageError where a folder that is to be replaced holds anything but frames of a clip."""
    if not folder.is_dir():
        return
    foreign = (path for path in folder.iterdir() if not _FRAME.fullmatch(path.name))
    if other := next(foreign, None):
        raise UsageError(
            f"{folder} holds {other.name}, which is no frame of a clip; name another folder"
        )


class _Folder:
    """PNGs in a folder, numbered from 1."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._path = path
        self._count = 0

    def write_frame(self, pixels: NDArray[Any], time: int) -> None:
        self._count += 1
        write(from_array(pixels), self._path / f"{self._count:06d}.png")

    def write_audio(self, packet: ClipPacket) -> None:
        pass

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


class _File:
    """A file that FFmpeg writes."""

    def __init__(self, place: Any, name: str, info: ClipInfo, codec: str, format: str) -> None:
        self._info = info
        self._name = name
        self._plain = format == "yuv4mpegpipe"
        self._count = 0
        self._reformatter: Any = VideoReformatter()
        self._pixels = _pixel_format(info, codec, self._plain)
        self._colours()
        file = os.fspath(place) if isinstance(place, Path) else place
        # Nobody goes back in a pipe: there fragments follow one another.
        flags = "+faststart" if isinstance(place, Path) else "+frag_keyframe+delay_moov"
        options = {"movflags": flags} if format in ("mp4", "mov") else {}
        self._container: Any = av.open(file, "w", format=format, container_options=options)
        self._container.metadata.update({} if self._plain else info.tags)
        self._video = self._video_stream("rawvideo" if self._plain else CODECS[codec])
        self._audio = [] if self._plain else [self._audio_stream(i) for i in range(len(info.audio))]
        self._container.start_encoding()

    def _colours(self) -> None:
        """Matrix and range of what is written: the source's, or those that players assume."""
        info = self._info
        known = info.colour.matrix in MATRICES and not self._plain
        self._matrix = info.colour.matrix if known else usual_matrix(info.width, info.height)
        self._full = info.colour.full and info.colour.matrix in MATRICES and not self._plain

    def _video_stream(self, encoder: str) -> Any:
        info = self._info
        rate = info.rate or 1 / (info.time_base * max(1, info.step))
        options = {"crf": str(CRF)} if encoder == "libx264" else {}
        stream = self._container.add_stream(encoder, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = info.width, info.height, self._pixels
        context = stream.codec_context
        self._time_base = 1 / rate if self._plain else info.time_base
        context.time_base = stream.time_base = self._time_base
        context.sample_aspect_ratio = info.aspect
        if self._pixels.startswith("yuv"):
            context.colorspace, context.color_range = self._matrix, 2 if self._full else 1
        if info.colour.primaries != UNKNOWN:
            context.color_primaries = info.colour.primaries
        if info.colour.transfer != UNKNOWN:
            context.color_trc = info.colour.transfer
        return stream

    def _audio_stream(self, index: int) -> Any:
        """A stream for packets that are there already; an encoder is opened to describe it."""
        audio = self._info.audio[index]
        try:
            stream = self._container.add_stream(
                _ENCODERS.get(audio.codec, audio.codec), rate=audio.rate
            )
            stream.layout = audio.layout
            stream.codec_context.open()
        except (av.FFmpegError, ValueError, AttributeError, OverflowError) as error:
            kind = self._container.format.name
            raise IcmhError(
                f"{self._name}: {kind} cannot hold sound of {audio.codec} unchanged; "
                "write mkv, or y4m, which has no sound"
            ) from error
        stream.codec_context.extradata = audio.extradata or None
        stream.time_base = audio.time_base
        return stream

    def write_frame(self, pixels: NDArray[Any], time: int) -> None:
        """Write a frame, uint8 [H,W,3]."""
        height, width = self._info.height, self._info.width
        if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            raise IcmhError(f"{self._name}: frames are uint8 [{height},{width},3]")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        if self._pixels.startswith("yuv"):
            frame = self._reformatter.reformat(
                frame,
                format=self._pixels,
                dst_colorspace=MATRICES[self._matrix],
                dst_color_range=2 if self._full else 1,
                interpolation=SMOOTH,
                threads=1,
            )
        else:
            frame = self._reformatter.reformat(frame, format=self._pixels, threads=1)
        frame.pts = self._count if self._plain else time
        frame.time_base = self._time_base
        self._count += 1
        self._container.mux(self._video.encode(frame))

    def write_audio(self, packet: ClipPacket) -> None:
        """Write a packet of sound."""
        if not self._audio:
            return
        wire = av.Packet(packet.data)
        wire.pts = wire.dts = packet.time
        wire.duration = packet.duration
        wire.time_base = self._info.audio[packet.stream].time_base
        wire.stream = self._audio[packet.stream]
        wire.is_keyframe = True
        self._container.mux(wire)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._video.encode(None))
        self._container.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()


def _pixel_format(info: ClipInfo, codec: str, plain: bool) -> str:
    if plain:
        return "yuv444p"
    if codec == "ffv1":
        return "bgr0"
    return "yuv444p" if info.width % 2 or info.height % 2 else "yuv420p"
