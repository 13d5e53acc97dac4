"""The 80 classes of COCO, the 20 of Pascal VOC, and which of one is which of the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# Names of COCO's classes by category id; a detector's classes are such ids.
COCO_NAMES = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train",
    8: "truck", 9: "boat", 10: "traffic light", 11: "fire hydrant", 13: "stop sign",
    14: "parking meter", 15: "bench", 16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep",
    21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe", 27: "backpack",
    28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove",
    41: "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass",
    47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl", 52: "banana", 53: "apple",
    54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog", 59: "pizza",
    60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote",
    76: "keyboard", 77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink",
    82: "refrigerator", 84: "book", 85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear",
    89: "hair drier", 90: "toothbrush",
}  # fmt: skip
# VOC's classes in the order of their indexes from 1, with COCO's category id. COCO's names differ
# for aeroplane (airplane), diningtable, motorbike (motorcycle), pottedplant, sofa (couch) and
# tvmonitor (tv). COCO's other 60 classes are background in a VOC mask.
COCO_ID_OF_VOC = {
    "aeroplane": 5,
    "bicycle": 2,
    "bird": 16,
    "boat": 9,
    "bottle": 44,
    "bus": 6,
    "car": 3,
    "cat": 17,
    "chair": 62,
    "cow": 21,
    "diningtable": 67,
    "dog": 18,
    "horse": 19,
    "motorbike": 4,
    "person": 1,
    "pottedplant": 64,
    "sheep": 20,
    "sofa": 63,
    "train": 7,
    "tvmonitor": 72,
}
VOC_CLASSES = ("background", *COCO_ID_OF_VOC)
VOC_INDEX_OF_COCO = {coco: k for k, coco in enumerate(COCO_ID_OF_VOC.values(), 1)}
IGNORED = 255

Mask = npt.NDArray[np.bool_]


def _letters(name: str) -> str:
    """What two spellings of a name share: diningtable, "Dining Table" and dining-table."""
    return "".join(filter(str.isalnum, name.lower()))


_ID_OF_NAME = {_letters(name): number for number, name in COCO_NAMES.items()}
_ID_OF_NAME |= {_letters(name): number for name, number in COCO_ID_OF_VOC.items()}


def coco_ids(categories: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """COCO's category ids by those of a COCO file, as far as COCO or VOC has the names.

    A category without a name has its id from COCO, as all have in a file that lists none.
    """
    ids = {}
    for category in categories or [{"id": number} for number in COCO_NAMES]:
        number, name = category["id"], category.get("name") or COCO_NAMES.get(category["id"], "")
        if _letters(name) in _ID_OF_NAME:
            ids[number] = _ID_OF_NAME[_letters(name)]
    return ids


def voc_mask(
    objects: Iterable[tuple[int, bool, Mask]], height: int, width: int
) -> npt.NDArray[np.uint8]:
    """VOC class indexes [height,width] of objects: COCO category id, crowd or not, mask [H,W].

    Later objects lie over earlier ones; crowds of VOC's classes are ignored.
    """
    labels = np.zeros((height, width), np.uint8)
    for category, crowd, mask in objects:
        if category in VOC_INDEX_OF_COCO:
            labels[mask] = IGNORED if crowd else VOC_INDEX_OF_COCO[category]
    return labels
