"""The codec as an object: pictures and clips to .icm files and back, networks kept in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from torch import Tensor

from icmhcodec import container
from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio.atomic import atomic_stream
from icmhcodec.pipeline import decode as decoding
from icmhcodec.pipeline import encode as encoding
from icmhcodec.pipeline.decode import Decoded
from icmhcodec.pipeline.encode import Encoded, Options
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.tensors import as_picture

if TYPE_CHECKING:
    from icmhcodec.pipeline.video.clip_decode import DecodedClip
    from icmhcodec.pipeline.video.clip_encode import Advance, EncodedClip

DEFAULT_BASE = "mbt2018-mean-gain"
DEFAULT_QUALITY = 4.0


class Codec:
    """Encodes and decodes pictures and clips on one device.

    `base` is the base codec to encode with; files are decoded with the one they name.
    `precision` is that of the transforms: "float32", "bfloat16", or "auto" for bfloat16 where the
    device is faster with it and the quality does not suffer. `threads` sets torch's, for the whole
    process. Networks are loaded when they are first needed.
    """

    def __init__(
        self,
        base: str = DEFAULT_BASE,
        *,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = "auto",
    ) -> None:
        if threads is not None:
            if threads < 1:
                raise UsageError(f"threads: {threads} is not a positive number")
            torch.set_num_threads(threads)
        self._base = base
        self._networks = Networks(device, precision)

    def encode(
        self,
        picture: object,
        *,
        tasks: str | Sequence[str] = (),
        quality: float | None = None,
        bpp: float | None = None,
        size: int | None = None,
        task_size: int | None = None,
        profile: str = "scalable",
        with_human: bool | None = None,
        portable: bool = False,
        skip: int | None = None,
        strip: bool = False,
        masks: Mapping[str, object] | None = None,
        tile: int | None = None,
        effort: int = 1,
    ) -> Encoded:
        """Encode a PIL image, a uint8 array [H,W,C] or a float tensor [C,H,W] in [0,1].

        `tasks` are names with an optional level, 2 if none is given ("det", "det:3"); `quality` is
        0 to 9, 4 by default; `bpp` or `size` (bytes) bound the whole file instead, and `task_size`
        its machine part; `masks` give a
        task's layer by pixels [H,W] (bool); `portable` writes predicted masks into the file;
        `tile` is the side in pixels of tiles that decode alone (a multiple of 64, 0 for none;
        pictures of more than 16 megapixels have tiles of 1024 by default); `effort` from 2 to 9
        searches for symbols that take fewer bits for the human picture, and takes its time.
        Errors: UsageError, MissingWeightsError.
        """
        if quality is not None and not (bpp is None and size is None):
            raise UsageError("give a quality or a target for the size, not both")
        options = Options(
            (tasks,) if isinstance(tasks, str) else tuple(tasks),
            DEFAULT_QUALITY if quality is None else quality,
            bpp,
            size,
            task_size,
            profile,
            with_human,
            portable,
            skip,
            strip,
            masks,
            tile,
            effort,
        )
        return encoding.encode(self._networks, self._base, as_picture(picture), options)

    def encode_batch(self, pictures: Iterable[object], **options: object) -> list[Encoded]:
        """Encode several pictures with the same options."""
        return [self.encode(picture, **options) for picture in pictures]  # type: ignore[arg-type]

    def decode(
        self,
        data: bytes,
        *,
        task: str | None = None,
        human: bool = False,
        partial: bool = False,
        crop: tuple[int, int, int, int] | None = None,
    ) -> Decoded:
        """Decode a task's picture, the human one, or the best that the file holds.

        `crop` is (x, y, width, height) of a region in pixels: only it is decoded, of a tiled file
        from the tiles around it.
        Errors: FormatError for damage and missing layers, MissingWeightsError, UsageError.
        """
        layer = _one_layer(task, human)
        return decoding.decode(self._networks, data, layer, partial, crop)

    def decode_batch(self, files: Iterable[bytes], **options: object) -> list[Decoded]:
        """Decode several files with the same options."""
        return [self.decode(data, **options) for data in files]  # type: ignore[arg-type]

    def encode_clip(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        frames: tuple[int, int | None] = (0, None),
        fps: Fraction | float | None = None,
        audio: bool = True,
        strip: bool = False,
        force: bool = False,
        advance: Advance | None = None,
        **options: Any,
    ) -> EncodedClip:
        """Encode a clip: a file that FFmpeg reads, a folder of frames, "-", or a binary stream.

        `target` is a path, written whole or not at all, or a binary stream. `frames` are the first
        and the one behind the last, `fps` another rate, `strip` leaves tags out, `advance` is told
        of every frame. Options: `tasks`, `quality`, `bpp` (of the file without sound), `gop`,
        `inter` (codec of P frames), `with_human`, `portable`, `skip`; see `video.plan.Options`.
        Errors: UsageError, MissingWeightsError, IcmhError for clips that cannot be read.
        """
        from icmhcodec.imageio.clip_read import ClipReader
        from icmhcodec.pipeline.video import clip_encode
        from icmhcodec.pipeline.video.plan import Options as ClipOptions

        tasks = options.pop("tasks", ())
        chosen = ClipOptions(tasks=(tasks,) if isinstance(tasks, str) else tuple(tasks), **options)
        rate = None if fps is None else Fraction(fps).limit_denominator(1001)
        with (
            ClipReader(source, frames=frames, fps=rate) as clip,
            _writing(target, force) as stream,
        ):
            return clip_encode.encode_clip(
                self._networks, self._base, clip, stream, chosen,
                sound=audio, strip=strip, advance=advance,
            )  # fmt: skip

    def open_clip(
        self,
        stream: BinaryIO,
        *,
        task: str | None = None,
        human: bool = False,
        partial: bool = False,
        frames: tuple[int, int | None] = (0, None),
    ) -> DecodedClip:
        """Frames of a coded clip as they are decoded; iterate over it once.

        Its items are `ClipFrame` (pixels uint8 [H,W,3], time) and `ClipPacket` (sound). Errors: as
        of `decode`.
        """
        from icmhcodec.pipeline.video.clip_decode import DecodedClip

        layer = _one_layer(task, human)
        return DecodedClip(self._networks, stream, task=layer, partial=partial, frames=frames)

    def decode_clip(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        target: str | os.PathLike[str],
        *,
        task: str | None = None,
        human: bool = False,
        partial: bool = False,
        frames: tuple[int, int | None] = (0, None),
        codec: str = "x264",
        format: str | None = None,
        audio: bool = True,
        strip: bool = False,
        force: bool = False,
        advance: Advance | None = None,
    ) -> DecodedClip:
        """Decode a coded clip to a file, a folder of PNGs, or "-" for stdout; see `ClipWriter`.

        What it gives says which layer it was, and what there was to warn of. Errors: as of
        `decode`, IcmhError where the clip cannot be written.
        """
        from icmhcodec.imageio.clip import ClipFrame
        from icmhcodec.imageio.clip_write import ClipWriter

        with _reading(source) as stream:
            clip = self.open_clip(stream, task=task, human=human, partial=partial, frames=frames)
            info = clip.info if audio else replace(clip.info, audio=())
            info = replace(info, tags={}) if strip else info
            writer = ClipWriter(target, info, codec=codec, format=format, force=force)
            silenced = False
            with writer, closing(iter(clip)) as items:
                for item in items:
                    if isinstance(item, ClipFrame):
                        writer.write_frame(item.pixels, item.time)
                        if advance is not None:
                            advance(1)
                    elif audio:
                        writer.write_audio(item)
                        silenced = not writer.sound
            if silenced:
                clip.warnings.append("its sound is left out, which y4m and folders do not keep")
        return clip

    def symbols(self, data: bytes) -> dict[str, Tensor]:
        """All integers that a file codes, by layer: the same on every device."""
        return decoding.symbols_of(self._networks, data)

    def verify(self, data: bytes, *, full: bool = False) -> list[str]:
        """What is wrong with a file, a line each; `full` decodes every layer that is there."""
        try:
            file = container.parse(data, partial=True)
        except IcmhError as error:
            return [str(error)]
        findings = list(file.damage)
        if full:
            findings += decoding.check_layers(self._networks, data)
        return findings

    def verify_clip(self, stream: BinaryIO, advance: Advance | None = None) -> list[str]:
        """What is wrong with the symbols of a coded clip, a line each, all layers decoded."""
        from icmhcodec.pipeline.video.decode import check_frames

        return check_frames(self._networks, stream, advance)


def _one_layer(task: str | None, human: bool) -> str | None:
    if task is not None and human:
        raise UsageError("decode one layer: a task's or the human one")
    return container.HUMAN if human else task


@contextmanager
def _reading(source: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(source, str | os.PathLike):
        yield source
        return
    try:
        stream = Path(source).open("rb")  # noqa: SIM115 (what fails inside is not to be renamed)
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror or error}") from error
    with stream:
        yield stream


@contextmanager
def _writing(target: str | os.PathLike[str] | BinaryIO, force: bool) -> Iterator[BinaryIO]:
    if not isinstance(target, str | os.PathLike):
        yield target
        return
    with atomic_stream(target, force=force) as stream:
        yield stream
