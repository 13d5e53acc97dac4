"""Pictures with a class each: a CSV of labels, or a folder for each class as in ImageNet."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from icmhcodec.bench.contract import Dataset, Sample
from icmhcodec.bench.datasets.layout import Choose, Layout, pictures
from icmhcodec.errors import UsageError

TASK = "cls"
FILE_COLUMNS = ("file", "filename", "image", "path")
LABEL_COLUMNS = ("label", "class")
IMAGENET_CLASSES = 1000


@cache
def wordnet_ids() -> tuple[str, ...]:
    """The WordNet ids of the 1000 classes of ImageNet-1k, in the order of the class indexes."""
    path = Path(__file__).with_name("imagenet_wordnet_ids.txt")
    return tuple(path.read_text(encoding="utf-8").split())


def load_labels(folder: Path, task: str | None, choose: Choose) -> Dataset | None:
    """Pictures in the folder, or in its folder images, that a CSV names with their classes."""
    del task
    for path in sorted(folder.glob("*.csv")):
        rows = _rows(path)
        if rows is not None:
            return _labelled(folder, path, rows, choose)
    return None


def _rows(path: Path) -> list[tuple[str, str]] | None:
    """Files and labels of a CSV, with or without a byte order mark; None where it has none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [_column(reader.fieldnames or (), c) for c in (FILE_COLUMNS, LABEL_COLUMNS)]
            return None if None in columns else [(r[columns[0]], r[columns[1]]) for r in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not a CSV in UTF-8 ({error}); save it as one") from error


def _column(fields: Sequence[str], known: Sequence[str]) -> str | None:
    return next((field for field in fields if field.strip().lower() in known), None)


def _labelled(
    folder: Path, source: Path, rows: Sequence[tuple[str, str]], choose: Choose
) -> Dataset:
    labels = {name: _index(label, source) for name, label in rows if name}
    root = next(
        (r for r in (folder, folder / "images") if any((r / n).exists() for n in labels)), None
    )
    if root is None:
        raise UsageError(
            f"{source}: none of the files it names is in {folder} or its folder images"
        )
    present = [name for name in labels if (root / name).exists()]
    samples = [Sample(name, root / name, {TASK: labels[name]}) for name in choose(present)]
    return Dataset(folder.resolve().name, "labels", tuple(samples))


def _index(label: str, source: Path) -> int:
    label = (label or "").strip()
    if label.isdecimal():
        return int(label)
    if label in wordnet_ids():
        return wordnet_ids().index(label)
    raise UsageError(
        f"{source}: label {label!r} is neither a class index (from 0) nor a WordNet id of ImageNet"
    )


def load_classes(folder: Path, task: str | None, choose: Choose) -> Dataset | None:
    """Pictures in folders of their classes.

    Folders are named by WordNet ids of ImageNet-1k, or by the lines of classes.txt (line 1 names
    class 0), or there are 1000 of them, which then count in the order of their names.
    """
    found = {path.name: pictures(path) for path in sorted(folder.iterdir())}
    found = {name: paths for name, paths in found.items() if paths}
    if len(found) < 2 or pictures(folder):
        return None
    order = _order(folder, list(found))
    if order is None:
        if task != TASK:
            return None
        raise UsageError(
            f"{folder}: the order of its classes is not known: its folders are not named by "
            "WordNet ids, nor are there 1000; put a classes.txt there that names one a line, "
            "in the network's order"
        )
    index = {f"{name}/{p.name}": order[name] for name, paths in found.items() for p in paths}
    samples = [Sample(name, folder / name, {TASK: index[name]}) for name in choose(index)]
    return Dataset(folder.resolve().name, "classes", tuple(samples))


def _order(folder: Path, names: Sequence[str]) -> Mapping[str, int] | None:
    """Class index of each folder, None where it cannot be told."""
    listed = folder / "classes.txt"
    if listed.exists():
        order = {line.strip(): k for k, line in enumerate(listed.read_text("utf-8").splitlines())}
        missing = [name for name in names if name not in order]
        if missing:
            raise UsageError(f"{listed}: does not name the folder {missing[0]}")
        return order
    known = {name: k for k, name in enumerate(wordnet_ids())}
    if all(name in known for name in names):
        return known
    if len(names) != IMAGENET_CLASSES:
        return None
    if all(name.isdecimal() for name in names):  # 10 comes after 9
        names = sorted(names, key=int)
    return {name: k for k, name in enumerate(names)}


LABELS = Layout(
    f"a .csv with a column {' or '.join(FILE_COLUMNS)} and a column {' or '.join(LABEL_COLUMNS)}",
    load_labels,
)
CLASSES = Layout(
    "a folder of pictures for each class, named by WordNet ids or in classes.txt", load_classes
)
