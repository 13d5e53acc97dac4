"""How well masks fit: DAVIS's region similarity J and boundary accuracy F.

After F. Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation, CVPR 2016, in the form of its public code.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from icmhcodec.errors import UsageError

Mask = npt.NDArray[np.bool_]
TOLERANCE = 0.008  # of the diagonal, rounded up to pixels


def similarity(found: Mask, truth: Mask) -> float:
    """J: intersection over union of two masks [H,W]; 1 where both are empty.

    UsageError where they are not of one size.
    """
    if found.shape != truth.shape:
        sizes = " and ".join(f"{mask.shape[1]}x{mask.shape[0]}" for mask in (found, truth))
        raise UsageError(f"a frame and its mask differ in size: {sizes}")
    union = np.count_nonzero(found | truth)
    return np.count_nonzero(found & truth) / union if union else 1.0


def accuracy(found: Mask, truth: Mask, tolerance: float = TOLERANCE) -> float:
    """F: harmonic mean of the shares of each boundary [H,W] that lie near the other one.

    Near is within `tolerance` of the diagonal, in a disk. 1 where both boundaries are empty, 0
    where one is.
    """
    reach = math.ceil(tolerance * math.hypot(*truth.shape))
    own, other = boundary(found), boundary(truth)
    if not own.any() or not other.any():
        return float(own.any() == other.any())
    precision = np.mean(distance_transform_edt(~other)[own] <= reach)
    recall = np.mean(distance_transform_edt(~own)[other] <= reach)
    both = float(precision + recall)
    return 2 * float(precision * recall) / both if both else 0.0


def boundary(mask: Mask) -> Mask:
    """Pixels of [H,W] that differ from the one right of, below or diagonally below them.

    Beyond the last row and column lies what is in them.
    """
    wide = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    others = (wide[:-1, 1:], wide[1:, :-1], wide[1:, 1:])
    differs: Mask = np.logical_or.reduce([mask ^ other for other in others])
    return differs
