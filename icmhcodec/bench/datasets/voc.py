"""Pascal VOC: JPEGImages with Annotations (XML) and SegmentationClass (PNG)."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from icmhcodec.bench.contract import Dataset, Sample
from icmhcodec.bench.datasets.classes import COCO_ID_OF_VOC, VOC_CLASSES
from icmhcodec.bench.datasets.layout import Choose, Layout, pictures
from icmhcodec.errors import UsageError

SUBSETS = ("val.txt", "test.txt")  # the first that is there is measured, else all pictures
LISTS = {"det": "Main", "seg": "Segmentation"}


def load(folder: Path, task: str | None, choose: Choose) -> Dataset | None:
    """Pictures of JPEGImages that have what the task needs, of its validation list if there is one.

    Boxes get COCO's category ids, and difficult objects count as crowds: they are ignored.
    """
    paths = {path.stem: path for path in pictures(folder / "JPEGImages")}
    kinds = {"det": (folder / "Annotations", ".xml"), "seg": (folder / "SegmentationClass", ".png")}
    if not paths or not any(place.is_dir() for place, _ in kinds.values()):
        return None
    names = [name for name in _listed(folder, task) or paths if name in paths]
    truths = {
        name: {t: place / (name + end) for t, (place, end) in kinds.items()} for name in names
    }
    known = {n: {t: p for t, p in files.items() if p.exists()} for n, files in truths.items()}
    if task in kinds:
        known = {name: files for name, files in known.items() if task in files}
    if not known:
        raise UsageError(f"{folder}: no picture of this VOC folder has what task {task} needs")
    samples = tuple(
        Sample(name, paths[name], {t: _truth(t, p) for t, p in known[name].items()})
        for name in choose(known)
    )
    classes = {"seg": VOC_CLASSES}
    return Dataset(folder.resolve().name, "voc", samples, classes)


def _listed(folder: Path, task: str | None) -> list[str]:
    """Names of the validation or test list of a task; empty where there is none."""
    place = folder / "ImageSets" / LISTS.get(task or "", "")
    path = next((place / name for name in SUBSETS if (place / name).exists()), None)
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    return [line.split()[0] for line in lines if line.strip()]


def _truth(task: str, path: Path) -> Any:
    return path if task == "seg" else boxes(path)


def boxes(path: Path) -> list[dict[str, Any]]:
    """The objects of a VOC annotation as COCO annotations; UsageError for what is none."""
    try:
        objects = ElementTree.parse(path).getroot().iter("object")
        return [_box(item, number) for number, item in enumerate(objects, 1)]
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise UsageError(f"{path}: not an annotation of Pascal VOC ({error})") from error


def _box(item: ElementTree.Element, number: int) -> dict[str, Any]:
    name = item.findtext("name", "").strip()
    sides = ("xmin", "ymin", "xmax", "ymax")
    left, top, right, bottom = (float(item.findtext(f"bndbox/{side}", "")) for side in sides)
    # VOC counts pixels from 1 and both ends of a box.
    width, height = right - left + 1, bottom - top + 1
    return {
        "id": number,
        "category_id": COCO_ID_OF_VOC[name],
        "bbox": [left - 1, top - 1, width, height],
        "area": width * height,
        "iscrowd": int(item.findtext("difficult", "0").strip() == "1"),
    }


LAYOUT = Layout("Pascal VOC (JPEGImages with Annotations or SegmentationClass)", load)
