"""Codecs, a network and pictures that cost nothing; workers find them by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from icmhcodec.bench.contract import Decoded, Pixels, Sample
from icmhcodec.bench.engine import Bench, label
from icmhcodec.errors import IcmhError


@dataclass
class Palette:
    """Keeps the highest bits of a half-size picture for the task, of all of it for people.

    `refuses` are widths that it fails at; with `shrinks` the task's picture stays small.
    """

    name: str = "palette"
    profile: str = "scalable"
    views: tuple[str, ...] = ("det", "human")
    points: tuple[float, ...] = (1.0, 3.0)
    refuses: Sequence[int] = ()
    shrinks: bool = True
    calls: list[str] = field(default_factory=list)

    def identity(self) -> dict[str, str]:
        return {"views": " ".join(self.views)}

    def encode(self, pixels: Pixels, point: float) -> bytes:
        self.calls.append("encode")
        if pixels.shape[1] in self.refuses:
            raise IcmhError("this width is refused")
        kept = pixels >> (8 - int(point)) << (8 - int(point))
        return _png(kept[::2, ::2]) + b"|" + _png(kept)

    def cut(self, data: bytes, view: str) -> bytes:
        return data.partition(b"|\x89PNG")[0] if view == "det" else data

    def decode(self, data: bytes, view: str) -> Decoded:
        self.calls.append("decode")
        start = 0 if view == "det" else data.index(b"|\x89PNG") + 1
        pixels = np.array(Image.open(BytesIO(data[start:])))
        return Decoded(pixels, shrunk=view == "det" and self.shrinks)


def _png(pixels: Pixels) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Brightness:
    """A "detector" of mean levels."""

    name: str = "brightness"
    task: str = "det"
    fingerprint: str = "0123456789abcdef"
    side: int = 32
    multiple: int = 1
    seen: list[tuple[int, ...]] = field(default_factory=list)

    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> dict[str, Any]:
        self.seen.append(picture.shape)
        return {"mean": float(picture.mean()), "size": size}

    def observe(self, prediction: Any, original: Any, truth: Any) -> dict[str, Any]:
        size = prediction["size"]
        off = abs(prediction["mean"] - original["mean"])
        return {"off": off, "truth": truth, "size": size}

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        off = float(np.mean([one["off"] for one in observations]))
        return {"agreement": 100 - off}


def bench(*codecs: Any, network: Any = None) -> Bench:
    return Bench({label(codec): codec for codec in codecs}, network)


def two_codecs() -> Bench:
    """What workers prepare."""
    return bench(Palette(), Palette("other", "plain", ("human",)), network=Brightness())


def samples(folder: Path, number: int = 3) -> tuple[Sample, ...]:
    """Pictures of 40, 41, ... columns and 30 rows, with labels."""
    found = []
    for k in range(number):
        path = folder / f"{k}.png"
        rows, columns = np.mgrid[:30, : 40 + k]
        planes = [rows * 8, columns * 5, (rows * columns + 40 * k) % 256]
        Image.fromarray(np.stack(planes, 2).astype(np.uint8)).save(path)
        found.append(Sample(path.name, path, {"det": [{"category_id": k}]}))
    return tuple(found)
