"""The two branches of SFMA (Adapt-ICMH, ECCV 2024, section 3.3).

Each gives a correction to features: one by the amplitudes of their spectrum, one by a spatial
context. Their last layers start at zero: an untrained branch corrects nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.adapters.contract import WINDOW
from icmhcodec.entropy.regions import Size

SPREAD = 2  # what the spatial branch sees around a position


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights and bias of zero, so that what it ends starts as no correction."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class FrequencyModulation(nn.Module):
    """FMA: modulates the amplitudes of the feature spectrum and keeps their phases (eq. 3).

    `window` > 0 takes the spectrum of fixed windows with an orthonormal FFT, so that its
    statistics do not depend on the size of the picture and windows can be decoded alone;
    `window` = 0 is the paper's form, one unnormalised spectrum of the whole map.
    """

    def __init__(self, channels: int, width: int, window: int = WINDOW) -> None:
        super().__init__()
        self.window = window
        self.down = nn.Conv2d(channels, width, 1)
        self.spread = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.mix = nn.Conv2d(width, width, 1)
        self.up = zeroed(nn.Conv2d(width, channels, 1))

    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Correction [B,C,H,W] to features x [B,C,H,W], whose first position is the origin."""
        features = self.down(x)
        modulated = (
            _in_windows(features, self.window, origin, self._modulate)
            if self.window
            else self._modulate(features, "backward")
        )
        correction: Tensor = self.up(F.relu(modulated))
        return correction

    def _modulate(self, features: Tensor, norm: str = "ortho") -> Tensor:
        spectrum = torch.fft.rfft2(features, norm=norm)
        gate = torch.sigmoid(self.mix(F.relu(self.spread(spectrum.abs()))))
        # A real factor on the complex spectrum changes amplitudes and keeps phases.
        modulated: Tensor = torch.fft.irfft2(spectrum * gate, s=features.shape[-2:], norm=norm)
        return modulated


def _in_windows(
    x: Tensor, window: int, origin: Size, function: Callable[[Tensor], Tensor]
) -> Tensor:
    """Apply a function to every window x window square of x; edges are padded by replication.

    Squares lie on a fixed grid, so that a part of the features that begins at `origin` has those
    of the whole.
    """
    batch, channels, height, width = x.shape
    top, left = (start % window for start in origin)
    bottom, right = -(top + height) % window, -(left + width) % window
    padded = F.pad(x, (left, right, top, bottom), mode="replicate")
    rows, columns = padded.shape[2] // window, padded.shape[3] // window
    tiles = padded.reshape(batch, channels, rows, window, columns, window)
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, window, window)
    tiles = function(tiles).reshape(batch, rows, columns, channels, window, window)
    whole = tiles.permute(0, 3, 1, 4, 2, 5).reshape(padded.shape)
    return whole[..., top : top + height, left : left + width]


class SpatialModulation(nn.Module):
    """SMA: modulates features by a spatial context of 5 x 5 (eq. 2)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.context = nn.Conv2d(channels, width, 1)
        self.spread = nn.Conv2d(width, width, 5, padding=SPREAD, groups=width)
        self.value = nn.Conv2d(channels, width, 1)
        self.up = zeroed(nn.Conv2d(width, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Correction [B,C,H,W] to features x [B,C,H,W]."""
        correction: Tensor = self.up(F.relu(self.spread(self.context(x)) * self.value(x)))
        return correction
