"""Semantic segmentation: mean intersection over union, pixel accuracy, agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from icmhcodec.errors import UsageError

Labels = npt.NDArray[np.uint8]  # class index of each pixel [H,W]
Counts = npt.NDArray[np.int64]

VOID = 255  # a pixel that is not judged
_SIDE = 256  # of a confusion matrix: every uint8 label has its row and column


class Segmentation:
    """The part of the contract that all segmentation networks share; predictions are `Labels`.

    Pixels of the truth that are void do not count. A class's intersection over union is taken from
    the confusion matrix summed over all pictures; the mean runs over the classes that occur in
    the truth or in the prediction.
    """

    task = "seg"

    def observe(
        self, prediction: Labels, original: Labels, truth: str | Path | None
    ) -> dict[str, Any]:
        """Confusion matrices against the truth and the labels on the uncompressed picture."""
        return {
            "truth": None if truth is None else confusion(prediction, read_labels(truth)),
            "original": confusion(prediction, original),
        }

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """mIoU and pixel accuracy over the pictures with a truth; agreement, an mIoU, over all."""
        labelled = [o["truth"] for o in observations if o["truth"] is not None]
        result = {}
        if labelled:
            matrix = _summed(labelled)
            result = {"mIoU": mean_iou(matrix), "pixel_accuracy": _accuracy(matrix)}
        return {**result, "agreement": mean_iou(_summed([o["original"] for o in observations]))}


def read_labels(path: str | Path) -> Labels:
    """Class indexes of a PNG with a palette or in grey; UsageError where it has colours."""
    with Image.open(path) as image:
        if image.mode not in ("P", "L", "1"):
            raise UsageError(f"{path} has no class indexes: it is a {image.mode} picture, not P, L")
        return np.asarray(image).astype(np.uint8)


def label(logits: Tensor, size: tuple[int, int]) -> Labels:
    """Labels at a size (height, width) from logits [1,C,h,w], resized bilinearly before."""
    if tuple(logits.shape[-2:]) != size:
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    best: Labels = logits[0].argmax(0).cpu().numpy().astype(np.uint8)
    return best


def confusion(prediction: Labels, truth: Labels) -> list[list[int]]:
    """The cells in use of a confusion matrix, 256 * truth + prediction, and their pixels.

    Raises UsageError where the two are not of one size.
    """
    if prediction.shape != truth.shape:
        sizes = " and ".join(f"{a.shape[1]}x{a.shape[0]}" for a in (prediction, truth))
        raise UsageError(f"labels of a picture differ in size from its mask: {sizes}")
    judged = truth != VOID
    cells = truth[judged].astype(np.int64) * _SIDE + prediction[judged]
    pixels = np.bincount(cells, minlength=1)
    used = np.flatnonzero(pixels)
    return [used.tolist(), pixels[used].tolist()]


def mean_iou(matrix: Counts) -> float:
    """Mean intersection over union in percent of a matrix [256,256], rows the truth."""
    common = np.diagonal(matrix)
    union = matrix.sum(0) + matrix.sum(1) - common
    # 255 in a prediction stands for classes that the truth does not know: wrong, no class itself
    present = np.flatnonzero(union[:VOID])
    return float(np.mean(common[present] / union[present])) * 100 if present.size else float("nan")


def _accuracy(matrix: Counts) -> float:
    pixels = matrix.sum()
    return float(np.trace(matrix) / pixels) * 100 if pixels else float("nan")


def _summed(confusions: Sequence[list[list[int]]]) -> Counts:
    cells = [cell for used, _ in confusions for cell in used]
    pixels = [count for _, counts in confusions for count in counts]
    matrix = np.zeros(_SIDE * _SIDE, np.int64)
    np.add.at(matrix, np.array(cells, np.int64), np.array(pixels, np.int64))
    return matrix.reshape(_SIDE, _SIDE)
