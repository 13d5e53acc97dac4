"""Object detection: non-maximum suppression, COCO's average precision, and agreement.

Figures are those of pycocotools over a whole set, from observations of single pictures: matching
is pycocotools', `metric` only accumulates.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from icmhcodec.tasks import packages

if TYPE_CHECKING:
    from pycocotools.coco import COCO

# COCO's 80 class ids in the order of the networks' outputs: 1..90 without the 10 unused ones
COCO_IDS: npt.NDArray[np.int64] = np.setdiff1d(
    np.arange(1, 91), [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
)


IOUS = np.linspace(0.5, 0.95, 10)  # COCO's thresholds
RECALLS = np.linspace(0, 1, 101)
MOST = 100  # objects of a class and picture that are judged
CONFIDENT = 0.3  # score from which an object on the uncompressed picture is one to agree with


@dataclass(frozen=True)
class Detections:
    """Objects of one picture, best first.

    boxes: float32 [n,4], x1, y1, x2, y2 in pixels, no side below zero; scores: float32 [n];
    classes: COCO ids [n]; masks: n run-length codes as pycocotools has them, None where the
    network gives none.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    masks: tuple[dict[str, Any], ...] | None = None

    def above(self, score: float) -> Detections:
        """The objects of at least this score."""
        kept = self.scores >= score
        masks = self.masks and tuple(m for m, k in zip(self.masks, kept, strict=True) if k)
        return Detections(self.boxes[kept], self.scores[kept], self.classes[kept], masks)

    def resized(self, shape: Sequence[int], size: tuple[int, int] | None) -> Detections:
        """Boxes in a picture of this shape (H, W, ...) -> in one of `size` (width, height)."""
        if size is None:
            return self
        factors = np.array([size[0] / shape[1], size[1] / shape[0]] * 2, np.float32)
        return replace(self, boxes=self.boxes * factors)


class Detection:
    """The part of the contract that all detectors share; predictions are `Detections`."""

    task = "det"

    def observe(
        self, prediction: Detections, original: Detections, truth: list[dict[str, Any]] | None
    ) -> dict[str, Any]:
        """Class, score and matches of each object found, and the number of objects by class.

        Bit k of "hits" and "ignored" is the match at the k-th of COCO's ten thresholds; "agreed"
        is the match, at 0.5, with the objects of the uncompressed picture of at least
        `CONFIDENT` score. Annotations: see `Sample.truths`. Masks count where both sides have them.
        """
        rows = _rows({1: prediction})
        references = _references(original.above(CONFIDENT))
        agreed = _matched(rows, references, IOUS[:1])
        kept = sorted(agreed.hits)  # pycocotools judges the best 100 of a class and no more
        result: dict[str, Any] = {
            "classes": [int(prediction.classes[k]) for k in kept],
            # nine digits keep a float32 apart from every other
            "scores": [float(f"{prediction.scores[k]:.9g}") for k in kept],
            "agreed": [agreed.hits[k] for k in kept],
            "references": agreed.objects,
            "objects": None,
        }
        if truth is None:
            return result
        found = _matched(rows, truth, IOUS)
        result["hits"] = [found.hits[k] for k in kept]
        result["ignored"] = [found.ignored[k] for k in kept]
        result["objects"] = found.objects
        if prediction.masks is not None and all(row.get("segmentation") for row in truth):
            masked = _matched(_rows({1: prediction}), truth, IOUS, "segm")
            result["mask_hits"] = [masked.hits[k] for k in kept]
            result["mask_ignored"] = [masked.ignored[k] for k in kept]
        return result

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """COCO's AP and AP50, of boxes and of masks, in percent; and the agreement.

        AP needs pictures with a truth that hold objects, mask AP masks in all of them. Classes
        without an object among the pictures do not count. The agreement is AP50 with confident
        objects on the uncompressed pictures as the truth, judged at all scores: 100 says that every
        one of them is found before any other. It is NaN where there is nothing to agree with.
        """
        labelled = [o for o in observations if o["objects"] is not None]
        result: dict[str, float] = {}
        if any(o["objects"] for o in labelled):
            result |= _summary(labelled, "hits", "ignored")
            if all("mask_hits" in o for o in labelled):
                masks = _summary(labelled, "mask_hits", "mask_ignored")
                result |= {f"mask_{name}": value for name, value in masks.items()}
        agreed = _precisions(observations, "agreed", None, "references", 1)
        return {**result, "agreement": _percent(agreed)}


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


def clip(boxes: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Boxes [n,4] cut to a picture of this size."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


def candidates(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], least: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Boxes, scores and class numbers of all scores [n,classes] above the least, of boxes [n,4].

    A place may hold objects of several classes: that is worth 0.3 points of YOLOX-Nano's AP over
    a place's best class alone.
    """
    places, classes = np.nonzero(scores > least)
    return boxes[places], scores[places, classes], classes


def choose(
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int64],
    *,
    overlap: float | None,
    most: int,
) -> Detections:
    """The best of some boxes [n,4], after suppression where `overlap` is given."""
    if overlap is None:
        chosen = np.argsort(-scores, kind="stable")[:most]
    else:
        chosen = suppress(boxes, scores, classes, overlap)[:most]
    return Detections(boxes[chosen], scores[chosen], classes[chosen])


def _judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with what pycocotools gives to detections when it reads them."""
    return [{**row, "iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3]} for row in rows]


def _references(found: Detections) -> list[dict[str, Any]]:
    return _judged(_rows({1: found}))


@dataclass(frozen=True)
class _Matches:
    """Of one picture: matches by index of the object found, a bit for each threshold; objects."""

    hits: dict[int, int]
    ignored: dict[int, int]
    objects: dict[str, int]  # by class, without crowds


def _matched(
    rows: list[dict[str, Any]],
    truth: list[dict[str, Any]],
    thresholds: npt.NDArray[np.float64],
    kind: str = "bbox",
) -> _Matches:
    """What pycocotools matches in one picture."""
    cocoeval = packages.load("pycocotools.cocoeval", "average precision")
    # numbered anew from one: an id of zero would read as no match
    found = [{**row, "id": k} for k, row in enumerate(_judged(rows), 1)]
    objects = [{**row, "id": k, "image_id": 1} for k, row in enumerate(truth, 1)]
    masks = [row["segmentation"]["size"] for row in rows if kind == "segm"]
    image = {"id": 1, "height": masks[0][0], "width": masks[0][1]} if masks else {"id": 1}
    if kind == "segm" and not masks:  # nothing to match: the shapes do not matter
        kind = "bbox"
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = cocoeval.COCOeval(
            _dataset([image], objects), _dataset([image], found), iouType=kind
        )
        params = evaluation.params
        params.imgIds, params.iouThrs, params.maxDets = [1], thresholds, [MOST]
        params.catIds = sorted({row["category_id"] for row in [*found, *objects]})
        params.areaRng, params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
    matches = _Matches({}, {}, {})
    for result in filter(None, evaluation.evalImgs):
        indexes = [number - 1 for number in result["dtIds"]]
        matches.hits.update(zip(indexes, _bits(result["dtMatches"]), strict=True))
        matches.ignored.update(zip(indexes, _bits(result["dtIgnore"]), strict=True))
        if count := int(np.count_nonzero(np.asarray(result["gtIgnore"]) == 0)):
            matches.objects[str(result["category_id"])] = count
    return matches


def _bits(flags: npt.NDArray[Any]) -> list[int]:
    """Flags [thresholds,n] -> n numbers, bit k the flag at the k-th threshold."""
    powers = 1 << np.arange(len(flags))
    bits: list[int] = (powers @ (np.asarray(flags) != 0)).tolist()
    return bits


def _summary(
    observations: Sequence[Mapping[str, Any]], hits: str, ignored: str
) -> dict[str, float]:
    precisions = _precisions(observations, hits, ignored, "objects", len(IOUS))
    return {"AP": _percent(precisions), "AP50": _percent(precisions[:, :1])}


def _precisions(
    observations: Sequence[Mapping[str, Any]],
    hits: str,
    ignored: str | None,
    objects: str,
    thresholds: int,
) -> npt.NDArray[np.float64]:
    """Average precision of each class with objects at each threshold [classes,thresholds]."""
    totals: dict[int, int] = {}
    for observation in observations:
        for category, count in observation[objects].items():
            totals[int(category)] = totals.get(int(category), 0) + count
    classes = _joined(observations, "classes", np.int64)
    order = np.lexsort((-_joined(observations, "scores", np.float64), classes))
    classes = classes[order]
    levels = np.arange(thresholds)[:, None]
    hit = (_joined(observations, hits, np.int64)[order] >> levels & 1).astype(bool)
    if ignored is None:
        judged = np.ones_like(hit)
    else:
        judged = (_joined(observations, ignored, np.int64)[order] >> levels & 1) == 0
    parts = [
        (slice(*np.searchsorted(classes, (category, category + 1))), count)
        for category, count in sorted(totals.items())
    ]
    values = [_interpolated(hit[:, part], judged[:, part], count) for part, count in parts]
    return np.array(values).reshape(-1, thresholds)


def _interpolated(
    hit: npt.NDArray[np.bool_], judged: npt.NDArray[np.bool_], objects: int
) -> npt.NDArray[np.float64]:
    """Mean over 101 recalls of the interpolated precision, objects found [thresholds,n]."""
    true, false = np.cumsum(hit & judged, 1), np.cumsum(~hit & judged, 1)
    precision = true / (true + false + np.spacing(1))
    # the best precision at this recall or a larger one, and none where recall never gets there
    best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    best = np.pad(best, ((0, 0), (0, 1)))
    recall = true / objects
    places = [np.searchsorted(row, RECALLS) for row in recall]
    values: npt.NDArray[np.float64] = np.take_along_axis(best, np.array(places), 1).mean(1)
    return values


def _joined(
    observations: Sequence[Mapping[str, Any]], key: str, kind: type[np.generic]
) -> npt.NDArray[Any]:
    values: Iterable[Any] = (value for o in observations for value in o[key])
    return np.fromiter(values, kind)


def _rows(predictions: Mapping[int, Detections]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "category_id": int(category),
            "bbox": [float(v) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1])],
            "score": float(score),
            **({} if mask is None else {"segmentation": mask}),
        }
        for image, found in predictions.items()
        for box, score, category, mask in zip(
            found.boxes,
            found.scores,
            found.classes,
            found.masks or [None] * len(found.scores),
            strict=True,
        )
    ]


def _dataset(images: list[dict[str, Any]], rows: list[dict[str, Any]]) -> COCO:
    truth: COCO = packages.load("pycocotools.coco", "average precision").COCO()
    truth.dataset = {
        "info": {},
        "images": images,
        "annotations": rows,
        "categories": [{"id": int(category)} for category in COCO_IDS],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def _percent(precision: npt.NDArray[np.float64]) -> float:
    known = precision[precision > -1]
    return float(known.mean()) * 100 if known.size else float("nan")
