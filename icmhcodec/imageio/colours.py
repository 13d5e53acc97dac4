"""Colours for numbers: the viridis map, perceptually even and safe for the colour-blind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Every sixteenth entry of viridis (S. van der Walt and N. Smith, 2015; matplotlib, CC0).
VIRIDIS = (
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 "
    "84d44b addc30 d8e219 fde725"
)
_TABLE = np.array([list(bytes.fromhex(colour)) for colour in VIRIDIS.split()], float)

# For kinds of things (M. Okabe and K. Ito, 2008), told apart by the colour-blind, too.
KINDS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")


def paint(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Colours, uint8 [h,w,3], of values [h,w] between low and high; what lies beyond is clipped."""
    share = np.clip((values - low) / max(high - low, 1e-12), 0, 1) * (len(_TABLE) - 1)
    steps = np.arange(len(_TABLE))
    planes = [np.interp(share, steps, _TABLE[:, channel]) for channel in range(3)]
    painted: NDArray[np.uint8] = np.rint(np.stack(planes, -1)).astype(np.uint8)
    return painted
