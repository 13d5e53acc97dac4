"""The 20 classes of Pascal VOC and what they are called in COCO."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

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
