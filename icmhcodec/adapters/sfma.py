"""Spatial-frequency modulation adapters and their ablations (Adapt-ICMH, ECCV 2024, table 4)."""

from __future__ import annotations

from torch import Tensor

from icmhcodec.adapters.contract import WIDTH, WINDOW, Adapter
from icmhcodec.adapters.modulation import SPREAD, FrequencyModulation, SpatialModulation
from icmhcodec.container import Span
from icmhcodec.entropy.regions import Size


class SFMA(Adapter):
    """x + FMA(x) + SMA(x), the two branches in parallel (eq. 1)."""

    sized_by, spread, spectral = "sma.value.weight", SPREAD, True

    def __init__(self, channels: int, width: int = WIDTH, window: int = WINDOW) -> None:
        super().__init__(channels, width, window)
        self.fma = FrequencyModulation(channels, width, window)
        self.sma = SpatialModulation(channels, width)

    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Adapted features [B,C,H,W] of x [B,C,H,W], which begins at the origin of the whole."""
        x = self.dtype_of(x)
        adapted: Tensor = x + self.fma(x, origin) + self.sma(x)
        return adapted


class FMAThenSMA(SFMA):
    """y + SMA(y) of y = x + FMA(x)."""

    def needed(self, span: Span) -> Span:
        """All squares that the spatial branch sees something of."""
        return self.squares((span[0] - SPREAD, span[1] + SPREAD))

    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Adapted features [B,C,H,W] of x [B,C,H,W], which begins at the origin of the whole."""
        x = self.dtype_of(x)
        x = x + self.fma(x, origin)
        adapted: Tensor = x + self.sma(x)
        return adapted


class SMAThenFMA(SFMA):
    """y + FMA(y) of y = x + SMA(x)."""

    def needed(self, span: Span) -> Span:
        """What the spatial branch sees of all squares."""
        first, last = self.squares(span)
        return first - SPREAD, last + SPREAD

    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Adapted features [B,C,H,W] of x [B,C,H,W], which begins at the origin of the whole."""
        x = self.dtype_of(x)
        x = x + self.sma(x)
        adapted: Tensor = x + self.fma(x, origin)
        return adapted


class SMA(Adapter):
    """x + SMA(x)."""

    sized_by, spread = "sma.value.weight", SPREAD

    def __init__(self, channels: int, width: int = WIDTH, window: int = WINDOW) -> None:
        super().__init__(channels, width, window)
        self.sma = SpatialModulation(channels, width)

    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Adapted features [B,C,H,W] of x [B,C,H,W], wherever it begins."""
        x = self.dtype_of(x)
        adapted: Tensor = x + self.sma(x)
        return adapted


class TwoSMA(SMA):
    """x + SMA(x) + SMA'(x), two spatial branches in parallel."""

    def __init__(self, channels: int, width: int = WIDTH, window: int = WINDOW) -> None:
        super().__init__(channels, width, window)
        self.second = SpatialModulation(channels, width)

    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Adapted features [B,C,H,W] of x [B,C,H,W], wherever it begins."""
        x = self.dtype_of(x)
        adapted: Tensor = x + self.sma(x) + self.second(x)
        return adapted


class FMA(Adapter):
    """x + FMA(x)."""

    sized_by, spectral = "fma.down.weight", True

    def __init__(self, channels: int, width: int = WIDTH, window: int = WINDOW) -> None:
        super().__init__(channels, width, window)
        self.fma = FrequencyModulation(channels, width, window)

    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Adapted features [B,C,H,W] of x [B,C,H,W], which begins at the origin of the whole."""
        x = self.dtype_of(x)
        adapted: Tensor = x + self.fma(x, origin)
        return adapted
