"""Example pictures at about equal bits, with what the network finds drawn on them."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from icmhcodec.bench import cache as caching
from icmhcodec.bench.cache import Cache
from icmhcodec.bench.contract import ComparedCodec, Dataset, Observation, Sample, curve_name
from icmhcodec.bench.curves import ORIGINAL, split_name
from icmhcodec.bench.datasets.classes import COCO_NAMES
from icmhcodec.bench.measure import read
from icmhcodec.bench.report.words import is_own
from icmhcodec.tasks.contract import Pixels, RecognitionNetwork

SIDE = 640  # longest side of a picture on the page
SCORE = 0.3  # least score of a box that is drawn
MOST = 6  # curves that are shown by default
HUES = ("#ff3b6b", "#00a8ff", "#ffb000", "#2fd16b", "#b06bff", "#ff7a1a", "#00c9b7", "#f25fd0")
VOID = 255


@dataclass(frozen=True)
class Example:
    """One decoded picture for the page: `data` is a coded picture of type `mime`."""

    sample: str
    curve: str  # "original" for the uncompressed picture
    point: float
    bpp: float
    caption: str  # what the network found, "" without a network
    width: int
    height: int
    mime: str
    data: bytes


def draw(
    observations: Sequence[Observation],
    dataset: Dataset,
    codecs: Sequence[ComparedCodec],
    network: RecognitionNetwork[Any] | None,
    *,
    seed: int = 0,
    pictures: int = 2,
    curves: Sequence[str] = (),
    bpp: float | None = None,
    cache: Cache | None = None,
    conditions: Mapping[str, Any] | None = None,
) -> list[Example]:
    """Code a few pictures again, drawn by `seed`, each curve at its point nearest to `bpp`.

    The original comes first. Without `bpp` the target is, for each picture, in the lower part of
    the range of bits that all curves cover; without `curves` the best known ones are shown.
    `cache` keeps the examples, by codec, network and `conditions` (`engine.Bench.conditions`).
    """
    makers = {curve_name(codec, view): (codec, view) for codec in codecs for view in codec.views}
    seen = {one.curve: one for one in observations}
    chosen = [name for name in curves or _usual([*makers]) if name in makers and name in seen]
    names = sorted({one.sample for one in observations})
    samples = {sample.name: sample for sample in dataset.samples if sample.name in names}
    picks = np.random.default_rng(seed).choice(len(names), min(pictures, len(names)), replace=False)
    found = []
    for name in (names[place] for place in sorted(picks)):
        sample, own = samples[name], [one for one in observations if one.sample == name]
        points = {curve: {o.point: _bpp(o) for o in own if o.curve == curve} for curve in chosen}
        target = bpp or _target(points)
        for curve in (ORIGINAL, *chosen):
            point = _nearest(points[curve], target) if curve in points else 0.0
            maker = makers.get(curve)
            make = partial(_made, sample, dataset.classes, network, curve, point, maker)
            if cache is None:
                found.append(make())
                continue
            settings = {
                **(conditions or {}),
                "example": [name, curve, point, SIDE, SCORE],
                "codec": maker and dict(maker[0].identity()),
                "network": network and f"{network.name} {network.fingerprint}",
                "picture": caching.digest(sample.path),
                "truth": json.dumps([sample.truths, dataset.classes], sort_keys=True, default=str),
            }
            found.append(_remembered(cache, caching.key(settings), make))
    return found


def _nearest(bits: Mapping[float, float], target: float) -> float:
    return min(bits, key=lambda point: abs(math.log(bits[point] / target)))


def _made(
    sample: Sample,
    classes: Mapping[str, Sequence[str]],
    network: RecognitionNetwork[Any] | None,
    curve: str,
    point: float,
    maker: tuple[ComparedCodec, str] | None,
) -> Example:
    """Code a picture and draw what comes back; without a maker it is the original."""
    pixels = read(sample.path)
    truth = sample.truths.get(network.task) if network else None
    canvas = _Canvas(sample.name, pixels, network, classes, truth)
    if maker is None:
        return canvas.example(curve, point, 24.0, pixels)
    codec, view = maker
    part = codec.cut(codec.encode(pixels, point), view)
    decoded = codec.decode(part, view).pixels
    return canvas.example(curve, point, 8 * len(part) / _area(pixels), decoded)


def _remembered(cache: Cache, key: str, make: Callable[[], Example]) -> Example:
    known = cache.get(key)
    if known is not None:
        try:
            kept = json.loads(known)
            return Example(**{**kept, "data": base64.b64decode(kept["data"], validate=True)})
        except (ValueError, TypeError, KeyError):
            pass  # damaged: it is made again
    example = make()
    text = base64.b64encode(example.data).decode()
    cache.put(key, json.dumps({**asdict(example), "data": text}))
    return example


def _usual(curves: Sequence[str]) -> list[str]:
    """Curves that tell most: icmh's task layers, then what engineers use, then the rest."""

    def rank(curve: str) -> tuple[int, int]:
        codec, _, view = split_name(curve)
        family = codec.split("@")[0]
        known = ["avif", "jpeg", "icmh", "jxl", "webp", "heic"]
        place = known.index(family) if family in known else len(known)
        return (0 if is_own(curve) and view != "human" else 1, place)

    return sorted(curves, key=rank)[:MOST]


def _bpp(seen: Observation) -> float:
    return 8 * seen.bytes / seen.pixels


def _area(pixels: Pixels) -> int:
    return pixels.shape[0] * pixels.shape[1]


def _target(points: Mapping[str, Mapping[float, float]]) -> float:
    """A third up, in logarithms, from what all curves reach; further up all look alike."""
    low = max((min(values.values()) for values in points.values()), default=1.0)
    high = min((max(values.values()) for values in points.values()), default=1.0)
    return float(low ** (2 / 3) * high ** (1 / 3))


@dataclass(frozen=True)
class _Canvas:
    """Draws the decoded copies of one picture."""

    sample: str
    original: Pixels
    network: RecognitionNetwork[Any] | None
    classes: Mapping[str, Sequence[str]]
    truth: Any

    def example(self, curve: str, point: float, bpp: float, pixels: Pixels) -> Example:
        height, width = self.original.shape[:2]
        scale = min(SIDE / max(height, width), 1)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        caption = ""
        if self.network is not None:
            shrunk = pixels.shape != self.original.shape
            prediction = self.network.predict(pixels, (width, height) if shrunk else None)
            image, caption = self._drawn(image, prediction, size[0] / width)
        file = io.BytesIO()
        image.save(file, "WEBP", quality=90)
        return Example(
            self.sample, curve, point, bpp, caption, *size, "image/webp", file.getvalue()
        )

    def _drawn(self, image: Image.Image, found: Any, scale: float) -> tuple[Image.Image, str]:
        task = self.network.task if self.network else ""
        names = self.classes.get(task, ())
        if task == "det":
            return image, boxes(image, found, scale)
        if task == "cls":
            best = int(found[0])
            verdict = (
                "" if self.truth is None else f", {'right' if best == self.truth else 'wrong'}"
            )
            return image, f"class {_name(names, best)}{verdict}"
        if task == "seg":
            return overlay(image, found, names)
        return image, ""


def boxes(image: Image.Image, found: Any, scale: float) -> str:
    """Draw detections (`tasks.detection.Detections`) onto an image; returns how many they are."""
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=12)
    kept = found.above(SCORE)
    for box, score, category in list(zip(kept.boxes, kept.scores, kept.classes, strict=True))[::-1]:
        number = int(category)
        hue = HUES[number % len(HUES)]
        left, top, right, bottom = (float(value) * scale for value in box)
        pen.rectangle((left, top, max(right, left), max(bottom, top)), outline=hue, width=2)
        text = f"{COCO_NAMES.get(number, number)} {score:.2f}"
        place = (max(left, 0), max(top - 15, 0))
        pen.rectangle(
            pen.textbbox((place[0] + 3, place[1]), text, font=font), fill=hue, outline=hue
        )
        pen.text((place[0] + 3, place[1]), text, fill="black", font=font)
    count = len(kept.scores)
    return f"{count} object{'s' * (count != 1)} with a score of {SCORE:g} or more"


def overlay(image: Image.Image, labels: Any, names: Sequence[str]) -> tuple[Image.Image, str]:
    """Lay classes [H,W] in colour over an image, background left as it is; names those there."""
    small = np.asarray(Image.fromarray(labels).resize(image.size, Image.Resampling.NEAREST))
    pixels = np.asarray(image).astype(np.float32)
    there = [int(one) for one in np.unique(small) if one not in (0, VOID)]
    for number in there:
        hue = HUES[number % len(HUES)]
        tint = np.array([int(hue[place : place + 2], 16) for place in (1, 3, 5)], np.float32)
        pixels[small == number] = 0.45 * pixels[small == number] + 0.55 * tint
    text = ", ".join(_name(names, number) for number in there) or "background alone"
    return Image.fromarray(pixels.round().astype(np.uint8)), text


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)
