"""Operations of networks, counted while they run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

_FFTS = (torch.ops.aten._fft_r2c, torch.ops.aten._fft_c2r)


@dataclass(frozen=True)
class Operations:
    """Multiplications with additions of convolutions and products, and the FFTs' flops apart.

    A real FFT of n points counts 2.5 n log2(n): half of what is usual for a complex one (FFTW).
    """

    macs: float
    fft_flops: float

    def __sub__(self, other: Operations) -> Operations:
        return Operations(self.macs - other.macs, self.fft_flops - other.fft_flops)

    def __add__(self, other: Operations) -> Operations:
        return Operations(self.macs + other.macs, self.fft_flops + other.fft_flops)

    def per_pixel(self, pixels: int) -> dict[str, float]:
        """Thousands for each pixel."""
        return {
            "kmac_per_pixel": self.macs / pixels / 1000,
            "fft_kflop_per_pixel": self.fft_flops / pixels / 1000,
        }


NOTHING = Operations(0, 0)


@torch.no_grad()
def count(function: Callable[..., object], *arguments: Any) -> Operations:
    """What a call computes; GDN's 1x1 convolutions are among the convolutions."""
    mapping: dict[Any, Any] = dict.fromkeys(_FFTS, _fft_flops)
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        function(*arguments)
    counts = counter.get_flop_counts().get("Global", {})  # it is not there where nothing counts
    ffts = sum(counts.get(fft, 0) for fft in _FFTS)
    return Operations((sum(counts.values()) - ffts) / 2, ffts)


def _fft_flops(
    shape: Sequence[int],
    axes: Sequence[int],
    *arguments: Any,
    out_shape: Sequence[int],
    **options: Any,
) -> int:
    # Of the two sides of a real transform the longer one is the real one.
    real = max(shape, out_shape, key=math.prod)
    points = math.prod(real[axis] for axis in axes)
    return round(2.5 * math.prod(real) * math.log2(points))
