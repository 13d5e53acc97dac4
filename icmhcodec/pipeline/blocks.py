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

from icmhcodec.adapters import picture as picture_adapters
from icmhcodec.adapters.picture import TaskAdapter
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.codecs.transforms import Adapters
from icmhcodec.container import Region
from icmhcodec.entropy.regions import Size, Source, blocks, coarse, crop, scaled, size_of, whole
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
    read = partial(input_part, pixels, codec.device)
    for block in blocks(whole(latent_size), SIDE // LATENT_STRIDE):
        crop(y, block).copy_(codec.analysis_part(read, (rows, columns), block, stages))
    return y


def input_part(pixels: NDArray[Any], device: torch.device, region: Region) -> Tensor:
    """A region [1,3,h,w] of the padded picture, as the analysis wants it."""
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
    after: TaskAdapter | None = None,
) -> NDArray[Any]:
    """Pixels [h,w,channels] of a region of a picture of (width, height).

    `read` gives regions of the latent; `after` adapts the picture to a task.
    """
    width, height = picture
    size = padded_grid(width, height)
    if region == whole((height, width)) and height * width <= WHOLE:
        x = codec.synthesis(read(whole(size)), stages)
        return to_pixels(after(x) if after else x, width, height, channels, depth)
    (top, _), (left, _) = region
    pixels = np.empty((*size_of(region), channels), np.uint8 if depth == 8 else np.uint16)
    for block in blocks(region, SIDE):
        x = _synthesis_part(codec, read, size, block, stages, after)
        (first, last), (start, end) = block
        pixels[first - top : last - top, start - left : end - left] = to_pixels(
            x, end - start, last - first, channels, depth
        )
    return pixels


def _synthesis_part(
    codec: BaseCodec,
    read: Source,
    size: Size,
    region: Region,
    stages: Adapters,
    after: TaskAdapter | None,
) -> Tensor:
    if after is None:
        return codec.synthesis_part(read, size, region, stages)
    decoded = partial(codec.synthesis_part, read, size, adapters=stages)
    return after.part(decoded, _pixels(size), region)


def needed(
    codec: BaseCodec,
    picture: tuple[int, int],
    region: Region,
    stages: Adapters,
    after: TaskAdapter | None = None,
) -> Region:
    """The positions of the latent that the pixels of a region are made of."""
    size = padded_grid(*picture)
    if after is not None:
        region = picture_adapters.needed(_pixels(size), region)
    return codec.synthesis_needs(size, region, stages)


def _pixels(size: Size) -> Size:
    """The padded picture's size, of its latent's."""
    return size_of(scaled(whole(size), LATENT_STRIDE))
