"""COCO panoptic: pictures, a panoptic JSON, and PNGs whose colours are segment ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from icmhcodec.bench.contract import Dataset, Sample
from icmhcodec.bench.datasets import masks
from icmhcodec.bench.datasets.classes import VOC_CLASSES, VOC_INDEX_OF_COCO, voc_mask
from icmhcodec.bench.datasets.coco import DETECTION, SEGMENTATION, Annotations, Record, find
from icmhcodec.bench.datasets.layout import Choose, Layout
from icmhcodec.errors import UsageError


def load(folder: Path, task: str | None, choose: Choose) -> Dataset | None:
    """Pictures with segments: boxes of the things, and VOC masks of the shared classes."""
    found = find(folder, "panoptic", _has_segments)
    if found is None:
        return None
    notices = found.notices() if task in (DETECTION, SEGMENTATION) else ()
    segments = {name: _segments(found, name) for name in found.images}
    names = [n for n, known in segments.items() if task != SEGMENTATION or _is_shared(known)]
    mask = _masks(folder, found) if task == SEGMENTATION else None
    samples = []
    for name in choose(names):
        truths: dict[str, Any] = {DETECTION: _things(segments[name])}
        if mask is not None:
            truths[SEGMENTATION] = mask(segments[name])
        samples.append(Sample(name, found.root / name, truths))
    classes = {SEGMENTATION: VOC_CLASSES}
    return Dataset(folder.resolve().name, "panoptic", tuple(samples), classes, notices)


def _has_segments(annotation: Record) -> bool:
    return "segments_info" in annotation and "file_name" in annotation


def _segments(found: Annotations, name: str) -> Record:
    """A picture's record, with the segments of things that COCO has."""
    image = found.images[name]["id"]
    none: Record = {"image_id": image, "file_name": "", "segments_info": []}
    record = next(iter(found.of_image[image]), none)
    return record | {"segments_info": found.known(record["segments_info"])}


def _is_shared(record: Record) -> bool:
    return any(s["category_id"] in VOC_INDEX_OF_COCO for s in record["segments_info"])


def _masks(folder: Path, found: Annotations) -> Callable[[Record], Path]:
    """What gives the VOC mask of a picture's record."""
    colours, target = _colour_folder(folder, found), masks.folder_for(found.path)

    def mask(record: Record) -> Path:
        source = colours / record["file_name"]
        path = target / f"{record['image_id']}.png"
        return masks.made(path, partial(segment_mask, source, record))

    return mask


def _colour_folder(folder: Path, found: Annotations) -> Path:
    """The folder of the PNGs, named as the JSON is; UsageError where there is none."""
    places = (found.path.with_suffix(""), folder / found.path.stem, folder / "masks")
    for place in places:
        if place.is_dir():
            return place
    raise UsageError(f"{found.path}: its PNGs are missing; looked for the folder {places[0]}")


def _things(record: Record) -> list[Record]:
    """The segments as COCO annotations with boxes."""
    return [
        {"image_id": record["image_id"], "iscrowd": 0, **segment}
        for segment in record["segments_info"]
    ]


def segment_mask(source: Path, record: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """VOC class indexes [H,W] of a PNG whose segment ids are R + 256 G + 65536 B."""
    with Image.open(source) as image:
        colours = np.asarray(image.convert("RGB")).astype(np.uint32)
    ids = colours @ np.array([1, 256, 65536], np.uint32)
    objects = [
        (segment["category_id"], bool(segment.get("iscrowd")), ids == segment["id"])
        for segment in record["segments_info"]
    ]
    return voc_mask(objects, *ids.shape)


LAYOUT = Layout(
    "COCO panoptic (a JSON with segments_info and a folder of PNGs beside it, named as the JSON)",
    load,
)
