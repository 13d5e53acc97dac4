"""From frames to layers: networks go ahead, layers are cut and coded behind them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from icmhcodec.container.video import Frame, LatentData
from icmhcodec.entropy.regions import whole
from icmhcodec.errors import UsageError
from icmhcodec.pipeline import blocks, latent
from icmhcodec.pipeline.area import padded_grid
from icmhcodec.pipeline.latent import Quantised
from icmhcodec.pipeline.tensors import to_input
from icmhcodec.pipeline.video import layers
from icmhcodec.pipeline.video.ahead import overlapped
from icmhcodec.pipeline.video.layers import Integers
from icmhcodec.pipeline.video.plan import Plan

AHEAD = 3  # frames


@dataclass(frozen=True)
class Picture:
    """A frame to be coded: its time, and its pixels uint8 [H,W,1 or 3]."""

    time: int
    pixels: NDArray[Any]


@dataclass(frozen=True)
class _Quantised:
    time: int
    intra: bool
    latents: dict[str, Quantised]


def encode_frames(plan: Plan, pictures: Iterable[Picture]) -> Generator[Frame, None, None]:
    """Code pictures of the header's size, as they come; UsageError for one of another size."""
    with closing(overlapped(_quantised(plan, pictures), AHEAD, plan.intra.device)) as quantised:
        yield from _coded(plan, quantised)


@torch.no_grad()
def _quantised(plan: Plan, pictures: Iterable[Picture]) -> Iterator[_Quantised]:
    """The integers of each frame; the reference is what a decoder has of all layers."""
    header = plan.header
    reference: Tensor | None = None
    for number, picture in enumerate(pictures):
        if picture.pixels.shape[:2] != (header.height, header.width):
            height, width = picture.pixels.shape[:2]
            raise UsageError(
                f"frame {number} has {width}x{height} pixels, the first {header.width}x"
                f"{header.height}; all frames of a sequence have one size"
            )
        intra = number % header.gop == 0
        if intra or reference is None or plan.inter is None:
            found, decoded = _intra(plan, picture.pixels)
        else:
            found, decoded = _inter(plan, picture.pixels, reference)
        if header.gop > 1:
            reference = as_reference(decoded, header.width, header.height)
        yield _Quantised(picture.time, intra, found)


def _intra(plan: Plan, pixels: NDArray[Any]) -> tuple[dict[str, Quantised], Tensor]:
    quantised = _quantise(plan, "intra", blocks.analysis(plan.intra, pixels))
    decoded = quantised_values(plan, "intra", quantised)
    return {"intra": quantised}, plan.intra.synthesis(decoded)


def _inter(
    plan: Plan, pixels: NDArray[Any], reference: Tensor
) -> tuple[dict[str, Quantised], Tensor]:
    codec = plan.inter
    assert codec is not None
    current = to_input(pixels, codec.device)
    motion = _quantise(plan, "motion", codec.motion_latent(current, reference))
    prediction = codec.prediction(quantised_values(plan, "motion", motion), reference)
    residual = _quantise(plan, "residual", codec.residual_latent(current, prediction))
    decoded = codec.reconstruct(quantised_values(plan, "residual", residual), prediction)
    return {"motion": motion, "residual": residual}, decoded


def _quantise(plan: Plan, name: str, y: Tensor) -> Quantised:
    part = plan.parts[name]
    return latent.quantise(part.codec, y, plan.area, plan.quality(name, None), part.skip)


def quantised_values(plan: Plan, name: str, quantised: Quantised) -> Tensor:
    """The latent [1,M,H/16,W/16] that a decoder has of all layers, without gain."""
    region = whole(padded_grid(plan.header.width, plan.header.height))
    symbols = quantised.symbols * quantised.coded
    codec = plan.parts[name].codec
    return latent.values_of(codec, quantised.prior, symbols, plan.area, quantised.quality, region)


def as_reference(decoded: Tensor, width: int, height: int) -> Tensor:
    """A decoded frame [1,3,H',W'] in [0,1], its edges replicated anew beyond the picture."""
    inside = decoded[..., :height, :width].float().clamp(0, 1)
    return F.pad(
        inside,
        (0, decoded.shape[3] - width, 0, decoded.shape[2] - height),
        mode="replicate",
    )


@torch.no_grad()
def _coded(plan: Plan, quantised: Iterable[_Quantised]) -> Iterator[Frame]:
    before: dict[str, Integers] = {}
    for frame in quantised:
        crcs = [0] * len(plan.header.layers)
        crcs[0] = layers.hyper_crc(latent.z_symbols for latent in frame.latents.values())
        latents: dict[str, LatentData] = {}
        now: dict[str, Integers] = {}
        for name, integers in frame.latents.items():
            latents[name], now[name] = layers.encode(
                plan.parts[name], integers, plan.area, before.get(name), crcs
            )
        before = now
        yield Frame(frame.intra, frame.time, latents, tuple(crcs))
