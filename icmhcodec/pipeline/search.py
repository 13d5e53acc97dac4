"""Finding the quality that meets a size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

HIGHEST = 9 * 256
_TRIES = 12


def largest_within(encode: Callable[[int], tuple[int, Result]], target: int) -> tuple[Result, bool]:
    """Encode at the highest quality (1/256 units) whose size stays within the target.

    `encode` gives (size, result) of a quality. The size grows nearly as an exponential of the
    quality: a secant on its logarithm, kept inside a bracket, needs a few tries. Where even
    quality 0 is too large its result comes back with False.
    """
    size, best = encode(0)
    if size > target:
        return best, False
    low, low_size = 0, size
    size, result = encode(HIGHEST)
    if size <= target:
        return result, True
    high, high_size = HIGHEST, size
    for attempt in range(_TRIES):
        if high - low <= 1 or low_size == target:
            break
        share = math.log(target / low_size) / math.log(high_size / low_size)
        if attempt % 3 == 2:
            share = 0.5  # the secant may creep along one end
        middle = min(max(low + round(share * (high - low)), low + 1), high - 1)
        size, result = encode(middle)
        if size <= target:
            low, low_size, best = middle, size, result
        else:
            high, high_size = middle, size
    return best, True
