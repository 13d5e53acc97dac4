"""Tiny data sets in the layouts that are recognised."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, width: int = 8, height: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (10, 20, 30)).save(path)
    return path


def square(left: float, top: float, side: float) -> list[float]:
    return [left, top, left + side, top, left + side, top + side, left, top + side]


def annotation(number: int, image: int, category: int, left: int, side: int, **more) -> dict:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [left, 0, side, side],
        "area": side * side,
        "iscrowd": 0,
        "segmentation": [square(left, 0, side)],
        **more,
    }


def coco(folder: Path, root: str = "images", place: str = "instances_val2017.json") -> Path:
    """Pictures 1 (two persons, one on a bus), 2 (a kite: none of VOC's) and 3 (nothing)."""
    for number in (1, 2, 3):
        picture(folder / root / f"{number}.jpg")
    data = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": 8, "height": 6} for n in (1, 2, 3, 4)
        ],
        "annotations": [
            annotation(10, 1, 1, 4, 2),
            annotation(11, 1, 6, 2, 5),
            annotation(12, 2, 38, 0, 4),
        ],
        "categories": [
            {"id": 6, "name": "bus"},
            {"id": 1, "name": "person"},
            {"id": 38, "name": "kite"},
        ],
    }
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return folder


def panoptic(folder: Path) -> Path:
    """Picture 1 with a dog and grass, picture 2 with grass."""
    for number in (1, 2):
        picture(folder / "val2017" / f"{number}.jpg")
        ids = np.full((6, 8), 300 + number)
        ids[:2, :3] = 70000
        if number == 2:
            ids[:] = 302
        colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], 2).astype(np.uint8)
        path = folder / "annotations" / "panoptic_val2017" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colours).save(path)
    dog = {"id": 70000, "category_id": 18, "bbox": [0, 0, 3, 2], "area": 6, "iscrowd": 0}
    grass = {"category_id": 193, "bbox": [0, 0, 8, 6], "area": 42, "iscrowd": 0}
    data = {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2)],
        "annotations": [
            {"image_id": 1, "file_name": "1.png", "segments_info": [dog, grass | {"id": 301}]},
            {"image_id": 2, "file_name": "2.png", "segments_info": [grass | {"id": 302}]},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 193, "name": "grass-merged"}],
    }
    (folder / "annotations" / "panoptic_val2017.json").write_text(json.dumps(data))
    return folder


VOC_XML = """<annotation><object><name>{name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>2</xmin><ymin>1</ymin><xmax>5</xmax><ymax>4</ymax></bndbox></object></annotation>"""


def voc(folder: Path) -> Path:
    """Pictures a (a dog), b (a difficult sofa, a mask) and c (nothing known)."""
    for name in "abc":
        picture(folder / "JPEGImages" / f"{name}.jpg")
    for name, text in (("a", ("dog", 0)), ("b", ("sofa", 1))):
        path = folder / "Annotations" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(VOC_XML.format(name=text[0], difficult=text[1]))
    mask = folder / "SegmentationClass" / "b.png"
    mask.parent.mkdir()
    Image.new("P", (8, 6), 18).save(mask)
    return folder
