"""Object detection: non-maximum suppression, COCO's average precision, and agreement."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pycocotools.coco import COCO

# COCO's 80 class ids in the order of the networks' outputs: 1..90 without the 10 unused ones
COCO_IDS: npt.NDArray[np.int64] = np.setdiff1d(
    np.arange(1, 91), [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
)


@dataclass(frozen=True)
class Detections:
    """Objects of one picture, best first.

    boxes: float32 [n,4], x1, y1, x2, y2 in pixels; scores: float32 [n]; classes: COCO ids [n].
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]

    def above(self, score: float) -> Detections:
        """The objects of at least this score."""
        kept = self.scores >= score
        return Detections(self.boxes[kept], self.scores[kept], self.classes[kept])


def suppress(
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int64],
    overlap: float,
) -> npt.NDArray[np.int64]:
    """Indexes of the boxes [n,4] kept by greedy class-wise non-maximum suppression, best first.

    A box goes where its intersection over union with a better box of its class exceeds `overlap`.
    """
    order = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(boxes[order, :2], boxes[best, :2])
        high = np.minimum(boxes[order, 2:], boxes[best, 2:])
        common = np.clip(high - low, 0, None).prod(1)
        union = areas[order] + areas[best] - common
        order = order[(classes[order] != classes[best]) | (common <= overlap * union)]
    return np.array(kept, np.int64)


def read_truth(path: str | Path) -> COCO:
    """COCO's annotations of a JSON file."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def average_precision(predictions: Mapping[int, Detections], truth: COCO) -> dict[str, float]:
    """COCO's AP (IoU 0.50:0.95) and AP50 in percent over the pictures predicted, by image id.

    Classes without an object among these pictures do not count; NaN where no class is left.
    """
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes(_rows(predictions)) if _any(predictions) else _dataset([], [])
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.imgIds = sorted(predictions)
        evaluation.evaluate()
        evaluation.accumulate()
    # thresholds, recalls, classes, all areas, 100 objects; -1 where a class has no object
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return {"AP": _percent(precision), "AP50": _percent(precision[:1])}


def agreement(
    predictions: Mapping[int, Detections],
    references: Mapping[int, Detections],
    score: float = 0.3,
) -> float:
    """Agreement with the detections on the uncompressed pictures, in percent.

    It is COCO's AP50 (IoU 0.5, mean over classes of the interpolated precision) with the
    detections on the uncompressed picture of at least `score` as the objects, over the pictures
    predicted; NaN where there are none. The detections judged are taken at all scores. 100 means
    that every reference object is found before any other.
    """
    objects = {key: references[key].above(score) for key in predictions}
    rows = [
        {**row, "id": number, "iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3]}
        for number, row in enumerate(_rows(objects), 1)
    ]
    return average_precision(predictions, _dataset(sorted(predictions), rows))["AP50"]


def _any(predictions: Mapping[int, Detections]) -> bool:
    return any(len(found.scores) for found in predictions.values())


def _rows(predictions: Mapping[int, Detections]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "category_id": int(category),
            "bbox": [float(v) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1])],
            "score": float(score),
        }
        for image, found in predictions.items()
        for box, score, category in zip(found.boxes, found.scores, found.classes, strict=True)
    ]


def _dataset(images: list[int], rows: list[dict[str, Any]]) -> COCO:
    from pycocotools.coco import COCO

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": image} for image in images],
        "annotations": rows,
        "categories": [{"id": int(category)} for category in COCO_IDS],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def _percent(precision: npt.NDArray[np.float64]) -> float:
    known = precision[precision > -1]
    return float(known.mean()) * 100 if known.size else float("nan")
