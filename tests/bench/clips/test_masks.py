from __future__ import annotations

import math

import numpy as np
import pytest

from icmhcodec.bench.clips import masks
from icmhcodec.errors import UsageError

EMPTY = np.zeros((12, 16), bool)


def block(top, left, height, width, shape=(12, 16)):
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_similarity_by_hand():
    assert masks.similarity(block(0, 0, 4, 4), block(0, 0, 4, 4)) == 1
    assert masks.similarity(block(0, 0, 4, 4), block(0, 2, 4, 4)) == 8 / 24
    assert masks.similarity(block(0, 0, 4, 4), block(6, 6, 4, 4)) == 0
    assert masks.similarity(EMPTY, EMPTY) == 1
    assert masks.similarity(EMPTY, block(0, 0, 1, 1)) == 0
    with pytest.raises(UsageError, match="16x12 and 12x16"):
        masks.similarity(EMPTY, EMPTY.T)


def test_a_boundary_lies_left_of_and_above_the_edge():
    mask = block(1, 1, 2, 2, (5, 5))
    wanted = np.array([
        [1, 1, 1, 0, 0],
        [1, 0, 1, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ], bool)  # fmt: skip
    assert np.array_equal(masks.boundary(mask), wanted)
    assert not masks.boundary(np.ones((5, 5), bool)).any()  # the picture's edge is none
    half = masks.boundary(block(0, 0, 5, 2, (5, 5)))
    assert np.array_equal(half, block(0, 1, 5, 1, (5, 5)))


def test_accuracy_by_hand():
    # Upright edges of 12 pixels in columns 3 and 4: within a pixel all of them are right.
    three, four, nine = (block(0, 0, 12, width) for width in (4, 5, 10))
    assert masks.accuracy(three, four, 0.01) == 1
    assert masks.accuracy(three, four, 0.0) == 0
    assert masks.accuracy(three, nine, 0.01) == 0
    # Beside the right edge there is one at column 9: half of what is found is right, all is found.
    both = block(0, 0, 12, 4) | block(0, 10, 12, 6)
    assert masks.accuracy(both, three, 0.01) == pytest.approx(2 * 0.5 / 1.5)
    assert masks.accuracy(three, both, 0.01) == pytest.approx(2 * 0.5 / 1.5)


def test_accuracy_of_what_is_not_there():
    assert masks.accuracy(EMPTY, EMPTY) == 1
    assert masks.accuracy(EMPTY, block(2, 2, 4, 4)) == 0
    assert masks.accuracy(block(2, 2, 4, 4), EMPTY) == 0


def test_accuracy_is_that_of_dilated_boundaries():
    """The public code dilates by a disk of ceil(0.008 diagonals)."""
    random = np.random.default_rng(3)
    shape = (120, 160)
    reach = math.ceil(0.008 * 200)
    steps = range(-reach, reach + 1)
    disk = [(y, x) for y in steps for x in steps if x * x + y * y <= reach * reach]
    assert (reach, len(disk)) == (2, 13)

    def dilated(mask):
        padded = np.pad(mask, reach)
        rows, columns = (slice(reach, reach + side) for side in shape)
        parts = [np.roll(padded, step, (0, 1))[rows, columns] for step in disk]
        return np.logical_or.reduce(parts)

    for _ in range(5):
        found, truth = (
            block(*random.integers(5, 60, 4), shape) | block(*random.integers(5, 60, 4), shape)
            for _ in range(2)
        )
        own, other = masks.boundary(found), masks.boundary(truth)
        precision = (own & dilated(other)).sum() / own.sum()
        recall = (other & dilated(own)).sum() / other.sum()
        wanted = 2 * precision * recall / (precision + recall) if precision + recall else 0
        assert masks.accuracy(found, truth) == pytest.approx(wanted)
