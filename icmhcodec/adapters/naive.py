"""The adapter that SFMA is compared with (Adapt-ICMH, ECCV 2024, table 6)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.adapters.contract import WIDTH, WINDOW, Adapter
from icmhcodec.adapters.modulation import zeroed
from icmhcodec.entropy.regions import Size


class Naive(Adapter):
    """x + 1x1(ReLU(1x1(x)))."""

    sized_by = "down.weight"

    def __init__(self, channels: int, width: int = WIDTH, window: int = WINDOW) -> None:
        super().__init__(channels, width, window)
        self.down = nn.Conv2d(channels, width, 1)
        self.up = zeroed(nn.Conv2d(width, channels, 1))

    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Adapted features [B,C,H,W] of x [B,C,H,W], wherever it begins."""
        x = self.dtype_of(x)
        adapted: Tensor = x + self.up(F.relu(self.down(x)))
        return adapted
