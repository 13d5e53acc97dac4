"""Finding the quality that meets a size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

HIGHEST = 9 * 256
_TRIES = 12
_NEAR_TRIES = 8
SLACK = 0.02  # of a target that may be left over where every try takes long
_USUAL_SLOPE = math.log(2) / 256  # a size doubles from a quality to the next, about


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


def largest_near(
    encode: Callable[[int], tuple[int, Result]], target: int, guess: int
) -> tuple[Result, bool]:
    """As `largest_within` for encodings that take long: a few tries from a guess.

    What comes within SLACK of the target is good enough.
    """
    tried: dict[int, int] = {}
    best: Result | None = None
    quality = guess
    while True:
        size, result = encode(quality)
        tried[quality] = size
        within = [q for q, s in tried.items() if s <= target]
        above = [q for q, s in tried.items() if s > target]
        low, high = max(within, default=-1), min(above, default=HIGHEST + 1)
        if quality == low:
            best = result
        if not high:
            return result, False
        enough = high - low <= 1 or (within and tried[low] >= (1 - SLACK) * target)
        if best is not None and (enough or len(tried) >= _NEAR_TRIES):
            return best, True
        aim = quality + round(math.log((1 - SLACK / 2) * target / size) / _slope(tried))
        # Nothing within after many tries: the lowest quality decides.
        quality = min(max(aim, low + 1), high - 1) if len(tried) < _NEAR_TRIES else 0


def _slope(tried: dict[int, int]) -> float:
    """Growth of a size's logarithm with the quality, of the last two tries."""
    if len(tried) < 2:
        return _USUAL_SLOPE
    (first, size), (second, other) = list(tried.items())[-2:]
    return max(math.log(other / size) / (second - first), _USUAL_SLOPE / 4)
