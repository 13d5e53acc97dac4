"""One latent of a frame: its integers, cut into layers and coded, and back (formats/icm.md, 14)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.container import LayerData, MaskKind
from icmhcodec.container.video import Choice, LatentData
from icmhcodec.entropy import coder
from icmhcodec.entropy.regions import whole
from icmhcodec.errors import FormatError
from icmhcodec.masks import coding, partition
from icmhcodec.masks.predictor import Condition
from icmhcodec.pipeline import latent
from icmhcodec.pipeline.area import Area, area_of, hyper_grid, padded_grid
from icmhcodec.pipeline.latent import Prior, Quantised

# The mask [M,h,w] that a predictor gives, of the prior and of the last frame's symbols [M,h,w].
Predict = Callable[[Prior, Tensor, Condition], Tensor]


@dataclass(frozen=True)
class Part:
    """A latent of all frames: its codec, and what each layer takes of it.

    `predict` are the predictors of layers whose masks they derive (or did, for written ones).
    """

    name: str
    codec: BaseCodec
    skip: int
    choices: tuple[Choice, ...]
    predict: tuple[Predict | None, ...]


@dataclass(frozen=True)
class Integers:
    """A latent's prior, and symbols [M,h,w] by layer: its own and those of the layers before it."""

    prior: Prior
    symbols: tuple[Tensor, ...]


def encode(
    part: Part, quantised: Quantised, area: Area, before: Integers | None, crcs: list[int]
) -> tuple[LatentData, Integers]:
    """Code all layers of a latent; `crcs`, one for each layer, go on with what they hold.

    `before` are the same latent's integers of the frame before, if that was a P frame, too.
    """
    prior, free = quantised.prior, quantised.coded
    held = torch.zeros_like(free)
    layers, symbols = [], []
    for number, choice in enumerate(part.choices):
        explicit = b""
        if choice.mask in (MaskKind.FULL, MaskKind.EMPTY):
            mask = free if choice.mask is MaskKind.FULL else torch.zeros_like(free)
        else:
            mask = free & _predicted(part, number, prior, quantised.quality, area, before)
        if choice.mask is MaskKind.EXPLICIT:
            explicit = coding.encode_elements(mask, free, prior.index)
        values = partition.take(quantised.symbols, mask).cpu().numpy()
        indexes = partition.take(prior.index, mask).cpu().numpy()
        segments = coder.encode_segments(values, indexes, part.codec.entropy.y_tables)
        crcs[number] = _crc(choice, mask, values, crcs[number])
        layers.append(LayerData(explicit, segments))
        held, free = held | mask, free & ~mask
        symbols.append(quantised.symbols * held)
    hyper = latent.encode_hyper(part.codec, quantised.z_symbols)
    return LatentData(hyper, tuple(layers)), Integers(prior, tuple(symbols))


def decode_hyper(part: Part, data: LatentData, area: Area) -> Tensor:
    """Symbols of the hyper-latent [N,h,w]; FormatError where they cannot be decoded."""
    entropy = part.codec.entropy
    grid = hyper_grid(area.width, area.height)
    indexes = entropy.hyper_indexes(*grid)
    z = coder.decode_segments(data.hyper, indexes, entropy.z_tables, coder.HYPER_LIMIT)
    return torch.from_numpy(z).reshape(entropy.hyper_channels, *grid)


def hyper_crc(z_symbols: Iterable[Tensor]) -> int:
    """CRC-32 of the hyper-latents' symbols of a frame: where the first layer's begins."""
    crc = 0
    for z in z_symbols:
        crc = zlib.crc32(np.ascontiguousarray(z.cpu().numpy(), dtype="<i2").tobytes(), crc)
    return crc


def decode(
    part: Part,
    z_symbols: Tensor,
    data: LatentData,
    quality: int,
    area: Area,
    before: Integers | None,
    count: int,
    crcs: list[int],
) -> Integers:
    """The integers of the first `count` layers; FormatError where they cannot be decoded."""
    entropy = part.codec.entropy
    prior = latent.prior_of(part.codec, z_symbols, area.width, area.height)
    free = partition.coded_elements(prior.index, part.skip)
    symbols = [torch.zeros(free.shape, dtype=torch.int32, device=free.device)]
    for number, (choice, layer) in enumerate(
        zip(part.choices[:count], data.layers[:count], strict=True)
    ):
        if choice.mask in (MaskKind.FULL, MaskKind.EMPTY):
            mask = free if choice.mask is MaskKind.FULL else torch.zeros_like(free)
        elif choice.mask is MaskKind.EXPLICIT:
            mask = coding.decode(layer.mask, free, prior.index)
        else:
            mask = free & _predicted(part, number, prior, quality, area, before)
        indexes = partition.take(prior.index, mask).cpu().numpy()
        values = coder.decode_segments(layer.segments, indexes, entropy.y_tables)
        crcs[number] = _crc(choice, mask, values, crcs[number])
        held = symbols[-1].clone()
        partition.place(torch.from_numpy(values).to(held.device), mask, held)
        symbols.append(held)
        free = free & ~mask
    return Integers(prior, tuple(symbols[1:]))


def values(
    part: Part, integers: Integers, quality: int, width: int, height: int, layer: int = -1
) -> Tensor:
    """The latent [1,M,H/16,W/16] of a layer, without gain, for the networks."""
    area = area_of(width, height, (1, 1))
    region = whole(padded_grid(width, height))
    return latent.values_of(
        part.codec, integers.prior, integers.symbols[layer], area, quality, region
    )


def check(found: Sequence[int], wanted: Sequence[int], what: str) -> None:
    """Refuse a frame whose symbols are not those that were coded."""
    for number, (own, other) in enumerate(zip(found, wanted, strict=True)):
        if own != other:
            raise FormatError(f"{what}, layer {number}: it does not have its checksum; damaged")


def _predicted(
    part: Part, number: int, prior: Prior, quality: int, area: Area, before: Integers | None
) -> Tensor:
    predict = part.predict[number]
    assert predict is not None  # the choice says derived
    condition = Condition(quality, part.choices[number].level, max(area.width, area.height))
    last = torch.zeros_like(prior.mean) if before is None else before.symbols[number]
    return predict(prior, last, condition)


def _crc(choice: Choice, mask: Tensor, symbols: coder.Integers, crc: int) -> int:
    if choice.mask in (MaskKind.DERIVED, MaskKind.EXPLICIT):
        crc = partition.mask_crc(mask, crc)
    return coder.symbols_crc(symbols, crc)
