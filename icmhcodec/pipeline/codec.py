"""The codec as an object: pictures to .icm files and back, networks kept in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from icmhcodec import container
from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.pipeline import decode as decoding
from icmhcodec.pipeline import encode as encoding
from icmhcodec.pipeline.decode import Decoded
from icmhcodec.pipeline.encode import Encoded, Options
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.tensors import as_picture

DEFAULT_BASE = "mbt2018-mean-gain"


class Codec:
    """Encodes and decodes pictures on one device.

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
        tasks: Sequence[str] = (),
        quality: float = 4.0,
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
    ) -> Encoded:
        """Encode a PIL image, a uint8 array [H,W,C] or a float tensor [C,H,W] in [0,1].

        `tasks` are names with an optional level ("det", "det:3"); `quality` is 0 to 9; `bpp` or
        `size` (bytes) bound the whole file and `task_size` its machine part instead; `masks` give a
        task's layer by pixels [H,W] (bool); `portable` writes predicted masks into the file;
        `tile` is the side in pixels of tiles that decode alone (a multiple of 64, 0 for none;
        pictures of more than 16 megapixels have tiles of 1024 by default).
        Errors: UsageError, MissingWeightsError.
        """
        options = Options(
            tuple(tasks),
            quality,
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
        if task is not None and human:
            raise UsageError("decode one layer: a task's or the human one")
        layer = container.HUMAN if human else task
        return decoding.decode(self._networks, data, layer, partial, crop)

    def decode_batch(self, files: Iterable[bytes], **options: object) -> list[Decoded]:
        """Decode several files with the same options."""
        return [self.decode(data, **options) for data in files]  # type: ignore[arg-type]

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
