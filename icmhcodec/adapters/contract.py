"""What every kind of adapter offers to the transforms, the pipeline and the training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from icmhcodec.container import Span
from icmhcodec.entropy.regions import Size, Step

WIDTH, WINDOW = 64, 32
MOST_SIDE = 1 << 30  # of features


class Adapter(nn.Module, ABC):
    """A module after a stage of a frozen transform: adapted features are x plus a correction.

    The layers that end corrections start at zero: an untrained adapter is the base codec. They are
    built from the stage's channels, the adapter's own width, and the side of the squares whose
    spectrum is taken (0: the whole map at once), which kinds without spectra keep as it is.
    """

    sized_by: ClassVar[str]  # the weight whose shape begins with width and channels
    spread: ClassVar[int] = 0  # positions that it sees on each side, besides whole squares
    spectral: ClassVar[bool] = False  # whether it sees whole squares

    def __init__(self, channels: int, width: int = WIDTH, window: int = WINDOW) -> None:
        super().__init__()
        self.channels, self.width = channels, width
        self.window = window

    @property
    def step(self) -> Step:
        """Which features a part of the adapted ones is made of."""
        return Step(self.needed)

    def needed(self, span: Span) -> Span:
        """The features before it that a span of those after it is made of."""
        near = span[0] - self.spread, span[1] + self.spread
        if not self.spectral:
            return near
        first, last = self.squares(span)
        return min(first, near[0]), max(last, near[1])

    def squares(self, span: Span) -> Span:
        """The span with all squares that it touches whole."""
        if not self.window:
            return -MOST_SIDE, MOST_SIDE
        return span[0] // self.window * self.window, -(-span[1] // self.window) * self.window

    def dtype_of(self, x: Tensor) -> Tensor:
        """Features in the dtype of the adapter's weights.

        That is float32: depth-wise kernels and FFTs gain nothing from bfloat16 on a CPU.
        """
        return x.to(next(self.parameters()).dtype)

    @abstractmethod
    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Adapted features [B,C,H,W] of x [B,C,H,W], which begins at the origin of the whole."""
