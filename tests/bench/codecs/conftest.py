from __future__ import annotations

import numpy as np
import pytest

from icmhcodec.bench.contract import Pixels


@pytest.fixture
def pixels() -> Pixels:
    """A smooth picture of odd sides with an edge in it, uint8 [51,75,3]."""
    rows, columns = np.mgrid[0:51, 0:75]
    planes = [rows * 4, columns * 3, 120 + 80 * (columns > rows)]
    return np.stack(planes, 2).astype(np.uint8)


def psnr(first: Pixels, second: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))
