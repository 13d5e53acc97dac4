"""Detection's figures by pycocotools over a whole set: what observations must sum up to."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from icmhcodec.tasks import detection
from icmhcodec.tasks.detection import Detections


def read_truth(path: str | Path) -> COCO:
    """COCO's annotations of a JSON file."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def average_precision(predictions: Mapping[int, Detections], truth: COCO) -> dict[str, float]:
    """COCO's AP (IoU 0.50:0.95) and AP50 in percent over the pictures predicted, by image id.

    Classes without an object among these pictures do not count; NaN where no class is left.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        found = (
            truth.loadRes(detection._rows(predictions))
            if _any(predictions)
            else detection._dataset([], [])
        )
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.imgIds = sorted(predictions)
        evaluation.evaluate()
        evaluation.accumulate()
    # thresholds, recalls, classes, all areas, 100 objects; -1 where a class has no object
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return {"AP": detection._percent(precision), "AP50": detection._percent(precision[:1])}


def agreement(
    predictions: Mapping[int, Detections],
    references: Mapping[int, Detections],
    score: float = detection.CONFIDENT,
) -> float:
    """Agreement with the detections on the uncompressed pictures, in percent.

    It is COCO's AP50 (IoU 0.5, mean over classes of the interpolated precision) with the
    detections on the uncompressed picture of at least `score` as the objects, over the pictures
    predicted; NaN where there are none. The detections judged are taken at all scores. 100 means
    that every reference object is found before any other.
    """
    rows = [
        {**row, "image_id": key}
        for key in predictions
        for row in detection._references(references[key].above(score))
    ]
    objects = [{**row, "id": number} for number, row in enumerate(rows, 1)]
    truth = detection._dataset([{"id": key} for key in sorted(predictions)], objects)
    return average_precision(predictions, truth)["AP50"]


def _any(predictions: Mapping[int, Detections]) -> bool:
    return any(len(found.scores) for found in predictions.values())
