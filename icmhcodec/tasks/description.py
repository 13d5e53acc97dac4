"""Networks of the user: an ONNX file or a torch.export program, described by a TOML file.

docs/networks.md says what stands in one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icmhcodec.errors import UsageError
from icmhcodec.tasks import detection
from icmhcodec.tasks.inputs import FILTERS, RESIZES, Input

Name = str | int  # of an output: its name, or its position

# kind: its outputs, in the order of their default positions
KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    "cls": {"logits": ("logits",)},
    "det": {
        "boxes": ("boxes", "scores", "labels"),
        "rows": ("objects",),
        "scores": ("boxes", "scores"),
        "yolo": ("objects",),
        "yolov8": ("objects",),
        "yolox": ("objects",),
    },
    "seg": {"logits": ("logits",), "labels": ("labels",)},
}
CLASSES: dict[str, Sequence[int]] = {
    "imagenet": range(1000),
    "imagenet1001": range(-1, 1000),
    "coco80": detection.COCO_IDS.tolist(),
    "coco91": [*range(91), -1],  # DETR's last class is that of no object
    "voc21": range(21),
}
DEFAULT_CLASSES = {"cls": "imagenet", "det": "coco80", "seg": "voc21"}
BOXES = ("xyxy", "yxyx", "xywh", "cxcywh")
ACTIVATIONS = ("none", "sigmoid", "softmax")
SUPPRESSED = ("boxes", "rows")  # kinds whose networks choose among overlapping boxes themselves
DTYPES = ("float32", "float16", "uint8")


@dataclass(frozen=True)
class Output:
    """How a network's output is read; see the module's text."""

    kind: str
    names: Mapping[str, Name]
    classes: tuple[int, ...]
    features: tuple[Name, ...] = ()
    box: str = "xyxy"
    relative: bool = False
    activation: str = "none"
    score: float = 0.01
    overlap: float = 0.65
    most: int = 100


@dataclass(frozen=True)
class Description:
    """What a TOML file says of a network."""

    name: str
    file: Path
    sha256: str
    task: str
    input: Input
    layout: str
    dtype: str
    output: Output


def read(path: str | Path) -> Description:
    """The description in a TOML file; UsageError for what is missing, unknown or out of range."""
    path = Path(path)
    table = _Table(_parse(path), f"{path}")
    task = table.choice("task", KINDS)
    inputs, outputs = table.table("input"), table.table("output")
    description = Description(
        name=table.take("name", str, path.stem),
        file=path.parent / table.take("file", str),
        sha256=table.take("sha256", str, ""),
        task=task,
        layout=inputs.choice("layout", ("nchw", "nhwc"), "nchw"),
        dtype=inputs.choice("dtype", DTYPES, "float32"),
        input=_input(inputs),
        output=_output(outputs, task),
    )
    for part in (table, inputs, outputs):
        part.finish()
    if task == "seg" and description.input.resize == "crop":
        raise UsageError(f"{path}: segmentation needs the whole picture; resize is not crop")
    return description


def _input(table: _Table) -> Input:
    size = table.take("size", int, several=True, least=1)
    if len(size) > 2:
        raise table.wrong("size", "one number, or height and width")
    return Input(
        size=(size[0], size[-1]),
        resize=table.choice("resize", RESIZES, "stretch"),
        filter=table.choice("filter", FILTERS, "bilinear"),
        fraction=table.take("fraction", float, 1.0, least=0.01),
        multiple=table.take("multiple", int, 1, least=1),
        centred=table.take("centred", bool, False),
        fill=table.take("fill", float, 114.0),
        bgr=table.choice("colours", ("rgb", "bgr"), "rgb") == "bgr",
        scale=table.take("scale", float, 1.0),
        mean=table.three("mean", (0.0, 0.0, 0.0)),
        std=table.three("std", (1.0, 1.0, 1.0)),
    )


def _output(table: _Table, task: str) -> Output:
    kinds = KINDS[task]
    kind = table.choice("kind", kinds, next(iter(kinds)))
    names = {name: table.name(name, k) for k, name in enumerate(kinds[kind])}
    features = table.names("features")
    classes = tuple(table.classes(task))
    if task != "det":
        return Output(kind, names, classes, features)
    return Output(
        kind=kind,
        names=names,
        classes=classes,
        features=features,
        box=table.choice("box", BOXES, "cxcywh" if kind.startswith("yolo") else "xyxy"),
        relative=table.take("relative", bool, False),
        activation=table.choice("activation", ACTIVATIONS, "none"),
        score=table.take("score", float, 0.01),
        overlap=table.take("overlap", float, 0.0 if kind in SUPPRESSED else 0.65),
        most=table.take("most", int, 100, least=1),
    )


def _parse(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise UsageError(f"{path}: not a TOML file ({error})") from error


class _Table:
    """A table of a TOML file whose entries are taken out one by one, checked."""

    def __init__(self, entries: dict[str, Any], where: str) -> None:
        self.entries, self.where = dict(entries), where

    def wrong(self, key: str, wanted: str) -> UsageError:
        return UsageError(f"{self.where}: {key} has to be {wanted}")

    def take(
        self, key: str, kind: type, default: Any = None, several: bool = False, least: float = -1e9
    ) -> Any:
        value = self.entries.pop(key, default)
        if value is None:
            raise UsageError(f"{self.where}: {key} is missing")
        values = list(value) if several and isinstance(value, list | tuple) else [value]
        for one in values:
            fits = type(one) is kind or (kind is float and type(one) is int)
            if not fits or (kind in (int, float) and not least <= one < 1e9):
                raise self.wrong(key, {str: "a text", bool: "true or false"}.get(kind, "a number"))
        if several and not values:
            raise self.wrong(key, "no empty list")
        return [kind(one) for one in values] if several else kind(value)

    def table(self, key: str) -> _Table:
        value = self.entries.pop(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, f"a table: [{key}]")
        return _Table(value, f"{self.where}, [{key}]")

    def choice(self, key: str, known: Iterable[str], default: str | None = None) -> str:
        value: str = self.take(key, str, default)
        if value not in tuple(known):
            raise self.wrong(key, f"one of {', '.join(known)}")
        return value

    def three(self, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        values = tuple(self.take(key, float, default, several=True))
        if len(values) != 3 or (key == "std" and 0 in values):
            raise self.wrong(key, "three numbers, those of std not 0")
        return values

    def name(self, key: str, default: int) -> Name:
        return self.names(key, [default])[0]

    def names(self, key: str, default: Sequence[Name] = ()) -> tuple[Name, ...]:
        value = self.entries.pop(key, default)
        names = value if isinstance(value, list | tuple) else [value]
        if not all(type(name) in (str, int) for name in names) or (default and len(names) != 1):
            raise self.wrong(key, "the name or the position of an output")
        return tuple(names)

    def classes(self, task: str) -> Sequence[int]:
        value = self.entries.get("classes", DEFAULT_CLASSES[task])
        if isinstance(value, str):
            self.entries.pop("classes", None)
            if value not in CLASSES:
                raise self.wrong("classes", f"a list of numbers or one of {', '.join(CLASSES)}")
            return CLASSES[value]
        classes: list[int] = self.take("classes", int, several=True, least=-1)
        return classes

    def finish(self) -> None:
        if self.entries:
            raise UsageError(f"{self.where}: unknown: {', '.join(sorted(self.entries))}")
