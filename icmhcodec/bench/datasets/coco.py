"""COCO: pictures and an instances JSON with boxes, masks and crowds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from icmhcodec.bench.contract import Dataset, Sample
from icmhcodec.bench.datasets import masks
from icmhcodec.bench.datasets.classes import (
    VOC_CLASSES,
    VOC_INDEX_OF_COCO,
    Mask,
    coco_ids,
    voc_mask,
)
from icmhcodec.bench.datasets.layout import Choose, Layout
from icmhcodec.errors import UsageError

DETECTION, SEGMENTATION = "det", "seg"
Record = dict[str, Any]
MOST_NAMED = 8  # categories in a message


@dataclass(frozen=True)
class Annotations:
    """A COCO annotations file: its images by file name, its annotations by image id."""

    path: Path
    images: Mapping[str, Record]
    of_image: Mapping[int, Sequence[Record]]
    ids: Mapping[int, int]  # COCO's category ids of the file's own
    foreign: tuple[str, ...]  # names of the categories that COCO does not have
    root: Path  # the folder of the pictures

    def known(self, records: Iterable[Record]) -> list[Record]:
        """The annotations of COCO's classes, with COCO's category ids."""
        ids = self.ids
        return [r | {"category_id": ids[n]} for r in records if (n := r["category_id"]) in ids]

    def notices(self) -> tuple[str, ...]:
        """What is left out, in a line; UsageError where all is."""
        names = ", ".join(self.foreign[:MOST_NAMED]) + ", ..." * (len(self.foreign) > MOST_NAMED)
        if self.foreign and not self.ids:
            raise UsageError(
                f"{self.path}: none of its categories is one of COCO's 80, which the networks "
                f"know: {names}; rename those that are"
            )
        left_out = f"{self.path}: left out what COCO's 80 classes do not have: {names}"
        return (left_out,) if self.foreign else ()


def load(folder: Path, task: str | None, choose: Choose) -> Dataset | None:
    """Pictures with COCO annotations; for segmentation those with one of VOC's classes."""
    found = find(folder, "instances", _has_boxes)
    if found is None:
        return None
    notices = found.notices() if task == DETECTION else ()
    names: Iterable[str] = found.images
    mask: Callable[[str], Path] | None = None
    if task == SEGMENTATION:
        names, mask = _with_masks(folder, found)
    samples = []
    for name in choose(names):
        truths: Record = {DETECTION: _objects(found, name)}
        if mask is not None:
            truths[SEGMENTATION] = mask(name)
        samples.append(Sample(name, found.root / name, truths))
    classes = {SEGMENTATION: VOC_CLASSES}
    return Dataset(folder.resolve().name, "coco", tuple(samples), classes, notices)


def _objects(found: Annotations, name: str) -> list[Record]:
    return found.known(found.of_image[found.images[name]["id"]])


def find(folder: Path, kind: str, fits: Callable[[Record], bool]) -> Annotations | None:
    """The annotations file of a kind ("instances", "panoptic") whose pictures are here.

    Those of a validation set come first. UsageError where there is one, but not its pictures.
    """
    unusable: Path | None = None
    for path in _candidates(folder, kind):
        data = _read(path)
        if data is None or not all(fits(record) for record in data["annotations"][:1]):
            continue
        images = {record["file_name"]: record for record in data["images"]}
        for root in _roots(folder, path.stem.removeprefix(f"{kind}_")):
            present = {name: record for name, record in images.items() if (root / name).exists()}
            if present:
                return _annotations(path, root, present, data)
        unusable = path
    if unusable is not None:
        raise UsageError(
            f"{unusable}: none of its pictures is in {folder}, its folder images or one named as "
            "the set"
        )
    return None


def _candidates(folder: Path, kind: str) -> Iterator[Path]:
    paths = sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])
    named = [path for path in paths if kind in path.name] or [
        p for p in paths if p.parent == folder
    ]
    yield from sorted(named, key=lambda path: "val" not in path.name)


def _read(path: Path) -> Record | None:
    """The content of a COCO annotations file, None if it is something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    lists = ("images", "annotations", "categories")
    whole = isinstance(data, dict) and all(isinstance(data.get(key), list) for key in lists)
    return data if whole else None


def _has_boxes(annotation: Record) -> bool:
    return "bbox" in annotation and "category_id" in annotation


def _roots(folder: Path, split: str) -> tuple[Path, ...]:
    return folder / "images", folder / split, folder / "images" / split, folder


def _annotations(path: Path, root: Path, images: Mapping[str, Record], data: Record) -> Annotations:
    of_image: defaultdict[int, list[Record]] = defaultdict(list)
    for annotation in data["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    things = [category for category in data["categories"] if category.get("isthing", 1)]
    ids = coco_ids(things)
    foreign = [str(c.get("name", c["id"])) for c in things if c["id"] not in ids]
    return Annotations(path, images, of_image, ids, tuple(foreign), root)


def _with_masks(folder: Path, found: Annotations) -> tuple[list[str], Callable[[str], Path]]:
    """The names of the pictures with a VOC mask, and what gives a picture's mask.

    Masks that lie in voc_masks are taken; else they are made from the instances.
    """
    ready = folder / "voc_masks"
    if ready.is_dir():
        paths = {name: ready / f"{Path(name).stem}.png" for name in found.images}
        return [name for name, path in paths.items() if path.exists()], paths.__getitem__
    found.notices()
    target = masks.folder_for(found.path)

    def mask(name: str) -> Path:
        record = found.images[name]
        path = target / f"{record['id']}.png"
        return masks.made(path, partial(instance_mask, record, _objects(found, name)))

    shared = [
        name
        for name in found.images
        if any(a["category_id"] in VOC_INDEX_OF_COCO for a in _objects(found, name))
    ]
    return shared, mask


def instance_mask(record: Record, annotations: Sequence[Record]) -> npt.NDArray[np.uint8]:
    """VOC class indexes [H,W] of a picture's instances, smaller ones over larger ones.

    UsageError without pycocotools.
    """
    height, width = int(record["height"]), int(record["width"])
    objects = [
        (a["category_id"], bool(a.get("iscrowd")), _decoded(a["segmentation"], height, width))
        for a in sorted(annotations, key=lambda a: -float(a["area"]))
        if a.get("segmentation")
    ]
    return voc_mask(objects, height, width)


def _decoded(segmentation: Any, height: int, width: int) -> Mask:
    """Polygons or run lengths as a mask [H,W]."""
    try:
        from pycocotools import mask as coder
    except ImportError as error:
        raise UsageError(
            "masks of COCO instances need pycocotools; pip install 'icmhcodec[tasks]'"
        ) from error
    if isinstance(segmentation, list):
        runs = coder.merge(coder.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        runs = coder.frPyObjects(segmentation, height, width)
    else:
        runs = segmentation
    return np.asarray(coder.decode(runs), bool)


LAYOUT = Layout(
    "COCO (a JSON with images, annotations and categories, here or in the folder annotations)",
    load,
)
