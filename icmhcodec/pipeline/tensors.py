"""Pictures as tensors, and what a caller may hand in as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from icmhcodec import imageio
from icmhcodec.errors import UsageError
from icmhcodec.imageio import Picture
from icmhcodec.imageio.picture import planes_of
from icmhcodec.pipeline.area import padded_size

OVERSHOOT = 1.0  # what a network's output may lie outside of [0,1], to be cut


def as_picture(image: object) -> Picture:
    """A Picture of a PIL image, an array [H,W,C] or [H,W] or a tensor [C,H,W] in [0,1].

    Arrays are uint8 or uint16 and keep their depth; tensors are rounded to 8 bits.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, Image.Image):
        return imageio.from_pil(image)
    if isinstance(image, Tensor):
        if image.ndim != 3 or not image.is_floating_point():
            raise UsageError(
                "a tensor must be floating point of shape [C,H,W] with values in [0,1]"
            )
        if image.isnan().any():
            raise UsageError("the tensor has NaN; give values in [0,1]")
        if image.numel() and max(-image.min(), image.max() - 1) > OVERSHOOT:
            raise UsageError("the tensor has values far outside of [0,1]; divide those of 0 to 255")
        levels = (image.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8)
        return imageio.from_array(levels.permute(1, 2, 0).contiguous().numpy())
    if isinstance(image, np.ndarray):
        return imageio.from_array(image)
    raise UsageError(f"{type(image).__name__} is not a picture: give a PIL image, array or tensor")


def to_input(pixels: NDArray[Any], device: torch.device) -> Tensor:
    """Pixels uint8 or uint16 [H,W,1 or 3] as [1,3,H',W'] in [0,1], padded by replicated edges."""
    height, width = pixels.shape[:2]
    x = torch.from_numpy(pixels.copy()).to(device)  # it may be read-only
    x = x.expand(height, width, 3).permute(2, 0, 1)[None].float().div_(np.iinfo(pixels.dtype).max)
    padded_width, padded_height = padded_size(width, height)
    return F.pad(x, (0, padded_width - width, 0, padded_height - height), mode="replicate")


def to_pixels(x: Tensor, width: int, height: int, channels: int, depth: int = 8) -> NDArray[Any]:
    """A decoded tensor [1,3,H',W'] as [height,width,channels], cropped and rounded.

    Its type is uint8 or uint16, by the depth.
    """
    picture = x[0, :, :height, :width].float()
    if channels == 1:
        picture = picture.mean(0, keepdim=True)
    type_, peak = (torch.uint8, 255) if depth == 8 else (torch.uint16, 65535)
    levels = (picture.clamp(0, 1) * peak).round().to(type_)
    pixels: NDArray[Any] = levels.permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels


def from_picture(picture: Picture, output: str) -> Any:
    """A decoded picture as "pil", "array" uint8 or uint16 [H,W,C] or "tensor" [C,H,W] in [0,1]."""
    if output == "pil":
        return imageio.to_pil(picture)
    array = planes_of(picture)
    if output == "array":
        return array
    return torch.from_numpy(array).permute(2, 0, 1).float().div(np.iinfo(array.dtype).max)
