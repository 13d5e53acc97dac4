"""Motion compensation of DVC: what a warped reference does not say (Lu et al. 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.codecs.video.layers import Conv, ResBlock

WIDTH = 64


class Compensation(nn.Module):
    """A prediction of the current frame from the warped reference and the reference."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.enter = Conv(6, width, 3)
        self.blocks = nn.ModuleList(ResBlock(width, enter=True) for _ in range(6))
        self.leave = Conv(width, 3, 3)

    def forward(self, warped: Tensor, reference: Tensor) -> Tensor:
        """Float32 [B,3,H,W] of frames [B,3,H,W], whose sides are multiples of 4."""
        x = torch.cat([warped, reference], 1).to(self.enter.weight.dtype)
        first, second, third, fourth, fifth, sixth = self.blocks
        full = first(torch.relu_(self.enter(x)))
        half = second(F.avg_pool2d(full, 2))
        quarter = fourth(third(F.avg_pool2d(half, 2)))
        half = fifth(_doubled(quarter) + half)
        full = sixth(_doubled(half) + full)
        prediction: Tensor = self.leave(full).float() + warped
        return prediction


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
