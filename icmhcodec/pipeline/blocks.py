"""Transforms of large pictures in blocks: the whole would take memory that grows with the picture.

The features after the first convolution alone are 128 numbers for every 4 pixels.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.codecs.transforms import Adapters
from icmhcodec.container import Region
from icmhcodec.entropy.regions import Source, blocks, coarse, crop, size_of, whole
from icmhcodec.pipeline.area import HYPER_STRIDE, LATENT_STRIDE, padded_grid, padded_size
from icmhcodec.pipeline.tensors import to_input, to_pixels

WHOLE = 1 << 22  # pixels of a picture up to which it is transformed at once
SIDE = 1024  # pixels of a block


def analysis(codec: BaseCodec, pixels: NDArray[Any], stages: Adapters = ()) -> Tensor:
    """The latent [1,M,H',W'] of a picture [H,W,C], without gain."""
    height, width = pixels.shape[:2]
    if height * width <= WHOLE:
        return codec.analysis(to_input(pixels, codec.device), stages)
    columns, rows = padded_size(width, height)
    latent_size = padded_grid(width, height)
    y = torch.empty(1, codec.latent_channels, *latent_size, device=codec.device)
    read = partial(_input, pixels, codec.device)
    for block in blocks(whole(latent_size), SIDE // LATENT_STRIDE):
        crop(y, block).copy_(codec.analysis_part(read, (rows, columns), block, stages))
    return y


def _input(pixels: NDArray[Any], device: torch.device, region: Region) -> Tensor:
    """A region of the padded picture, as the analysis wants it."""
    (top, bottom), (left, right) = region
    x = to_input(pixels[top:bottom, left:right], device)
    rows, columns = size_of(region)
    missing = max(rows - x.shape[2], 0), max(columns - x.shape[3], 0)
    x = F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate")
    return x[..., :rows, :columns]


def hyper_analysis(codec: BaseCodec, y: Tensor, gain: Tensor) -> Tensor:
    """The hyper-latent [N,h,w] of a latent [1,M,H',W'] that does not carry its gain yet."""
    gain = gain[:, None, None]
    size = (y.shape[2], y.shape[3])
    if size[0] * size[1] * LATENT_STRIDE**2 <= WHOLE:
        return codec.hyper_analysis(y.float() * gain)[0]
    hyper_size = size_of(coarse(whole(size), HYPER_STRIDE // LATENT_STRIDE))
    z = torch.empty(codec.hyper_channels, *hyper_size, device=y.device)
    for block in blocks(whole(hyper_size), SIDE // HYPER_STRIDE):
        part = codec.hyper_analysis_part(lambda r: crop(y, r).float() * gain, size, block)
        crop(z, block).copy_(part[0])
    return z


def synthesis(
    codec: BaseCodec,
    read: Source,
    picture: tuple[int, int],
    region: Region,
    stages: Adapters,
    channels: int,
    depth: int,
) -> NDArray[Any]:
    """Pixels [h,w,channels] of a region of a picture of (width, height).

    `read` gives regions of the latent.
    """
    width, height = picture
    size = padded_grid(width, height)
    if region == whole((height, width)) and height * width <= WHOLE:
        return to_pixels(codec.synthesis(read(whole(size)), stages), width, height, channels, depth)
    (top, _), (left, _) = region
    pixels = np.empty((*size_of(region), channels), np.uint8 if depth == 8 else np.uint16)
    for block in blocks(region, SIDE):
        x = codec.synthesis_part(read, size, block, stages)
        (first, last), (start, end) = block
        pixels[first - top : last - top, start - left : end - left] = to_pixels(
            x, end - start, last - first, channels, depth
        )
    return pixels


def needed(codec: BaseCodec, picture: tuple[int, int], region: Region, stages: Adapters) -> Region:
    """The positions of the latent that the pixels of a region are made of."""
    return codec.synthesis_needs(padded_grid(*picture), region, stages)
