"""How a picture becomes a network's input: resized, placed, normalised; and the way back.

There are two forms of the same: on uint8 pictures by Pillow, as the networks were measured, and on
tensors by the same filter as a matrix for rows and one for columns, without rounding, with
gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from icmhcodec.tasks.contract import Pixels

FloatArray = npt.NDArray[np.float32]

RESIZES = ("stretch", "letterbox", "crop", "short")
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Place(NamedTuple):
    """The part of a picture that a network sees, and where it lies in the network's input."""

    box: tuple[float, float, float, float]  # left, top, right, bottom in the picture's pixels
    size: tuple[int, int]  # height and width that it has in the input
    corner: tuple[int, int]  # its top and left there
    canvas: tuple[int, int]  # height and width of the input
    step: tuple[float, float]  # pixels of the picture in one of the input, down and across

    def back(self, boxes: FloatArray) -> FloatArray:
        """Boxes x1, y1, x2, y2 [n,4] in the input's pixels -> in the picture's."""
        (top, left), (down, across) = self.corner, self.step
        corner = np.array([left, top, left, top], np.float32)
        step = np.array([across, down, across, down], np.float32)
        start = np.array(self.box[:2] * 2, np.float32)
        placed: FloatArray = (boxes - corner) * step + start
        return placed


@dataclass(frozen=True)
class Input:
    """A network's input and the way of a picture into it.

    `resize`: "stretch" to `size` (height, width); "letterbox" inside `size`, the rest filled;
    "crop" the `fraction` of the largest central part with the sides' ratio of `size`; "short": the
    short side becomes `size[0]`, both sides rounded to multiples of `multiple`. `fill`, `mean` and
    `std` hold for values 0..255 times `scale`, `fill` before that.
    """

    size: tuple[int, int]
    resize: str = "stretch"
    filter: str = "bilinear"
    fraction: float = 1.0
    multiple: int = 1
    centred: bool = False  # letterbox: in the middle, else top left
    fill: float = 114.0
    bgr: bool = False
    scale: float = 1.0
    mean: Sequence[float] = (0.0, 0.0, 0.0)  # in the order of the network's colours
    std: Sequence[float] = (1.0, 1.0, 1.0)

    def place(self, height: int, width: int) -> Place:
        """Where a picture of this size comes to lie."""
        box, corner = (0.0, 0.0, float(width), float(height)), (0, 0)
        if self.resize == "letterbox":
            scale = min(self.size[0] / height, self.size[1] / width)
            size = max(1, int(height * scale)), max(1, int(width * scale))
            if self.centred:
                corner = (self.size[0] - size[0]) // 2, (self.size[1] - size[1]) // 2
            return Place(box, size, corner, self.size, (1 / scale, 1 / scale))
        size = self.size
        if self.resize == "crop":
            part = self.fraction * min(height / size[0], width / size[1])
            top, left = (height - part * size[0]) / 2, (width - part * size[1]) / 2
            box = left, top, width - left, height - top
        elif self.resize == "short":
            scale = self.size[0] / min(height, width)
            size = self._rounded(height * scale), self._rounded(width * scale)
        step = (box[3] - box[1]) / size[0], (box[2] - box[0]) / size[1]
        return Place(box, size, corner, size, step)

    def _rounded(self, side: float) -> int:
        return max(1, round(side / self.multiple)) * self.multiple

    def shrink(self, picture: Pixels) -> Pixels:
        """The part of a picture uint8 [H,W,3] that the network sees, at the size it has there."""
        place = self.place(picture.shape[0], picture.shape[1])
        height, width = place.size
        resized = Image.fromarray(picture).resize((width, height), FILTERS[self.filter], place.box)
        return np.asarray(resized)

    def tensor(self, picture: Pixels) -> Tensor:
        """uint8 [H,W,3] -> the network's input, float32 [1,3,h,w]."""
        place = self.place(picture.shape[0], picture.shape[1])
        resized = torch.from_numpy(self.shrink(picture).copy()).permute(2, 0, 1)[None]
        return self._finished(resized.float(), place)

    def differentiable(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in [0,1] -> the network's input [B,3,h,w], with gradients."""
        place = self.place(x.shape[-2], x.shape[-1])
        (height, width), (left, top, right, bottom) = place.size, place.box
        rows = torch.from_numpy(resampling(x.shape[-2], top, bottom, height, self.filter)).to(x)
        columns = torch.from_numpy(resampling(x.shape[-1], left, right, width, self.filter)).to(x)
        return self._finished(self._cut(rows @ self._cut(x * 255 @ columns.T)), place)

    def _cut(self, x: Tensor) -> Tensor:
        """Only the cubic filter leaves the range; Pillow cuts after each direction."""
        return x.clamp(0, 255) if self.filter == "bicubic" else x

    def normalise(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in 0..255 -> the network's colours and range."""
        mean, std = x.new_tensor(self.mean)[:, None, None], x.new_tensor(self.std)[:, None, None]
        return ((x.flip(1) if self.bgr else x) * self.scale - mean) / std

    def _finished(self, resized: Tensor, place: Place) -> Tensor:
        (height, width), (top, left) = place.size, place.corner
        below, right = place.canvas[0] - height - top, place.canvas[1] - width - left
        return self.normalise(F.pad(resized, (left, right, top, below), value=self.fill))


def resampling(length: int, start: float, end: float, size: int, name: str) -> FloatArray:
    """Matrix [size,length] that resizes start..end of `length` samples as Pillow does."""
    step = (end - start) / size
    centres = start + (np.arange(size) + 0.5) * step
    # a filter that shrinks is as much wider as the steps are
    t = np.abs(np.arange(length) + 0.5 - centres[:, None]) / max(step, 1.0)
    if name == "bilinear":
        weights = np.clip(1 - t, 0, None)
    else:  # cubic convolution with a = -0.5 (Keys 1981, equation 4)
        near, far = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
        weights = np.where(t < 1, near, np.where(t < 2, far, 0))
    matrix: FloatArray = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return matrix
