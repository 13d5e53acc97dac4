"""Small clips in which something moves, and a codec and a network that cost nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from icmhcodec.bench.contract import Clips, Pixels, Sample
from icmhcodec.bench.engine import Bench, label
from icmhcodec.errors import IcmhError
from icmhcodec.imageio.clip import ClipInfo
from icmhcodec.imageio.clip_write import ClipWriter

RATE = Fraction(25)


def info(width: int = 64, height: int = 48) -> ClipInfo:
    return ClipInfo(width, height, 1 / RATE, RATE)


def frames(count: int = 12, width: int = 64, height: int = 48, seed: int = 0) -> list[Pixels]:
    """A wave that moves by two pixels a frame; no two frames are alike."""
    rows, columns = np.mgrid[:height, :width]
    found = []
    for time in range(count):
        across = np.sin((columns + 2 * time) / (5 + seed))
        planes = [128 + 100 * across, 128 + 90 * np.cos((rows + time) / 7), 128 + 60 * across]
        found.append(np.stack(planes, 2).astype(np.uint8))
    return found


def write(path: Path, pictures: Iterable[Pixels]) -> Path:
    """A clip without loss."""
    shown = list(pictures)
    height, width = shown[0].shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    with ClipWriter(path, info(width, height), codec="ffv1") as writer:
        for time, pixels in enumerate(shown):
            writer.write_frame(pixels, time)
    return path


def write_folder(path: Path, pictures: Iterable[Pixels]) -> Path:
    path.mkdir(parents=True)
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(path / f"{number:05}.png")
    return path


def samples(folder: Path, number: int = 2) -> tuple[Sample, ...]:
    """Clips of 5, 6, ... frames."""
    made = [write(folder / f"{k}.mkv", frames(5 + k, seed=k)) for k in range(number)]
    return tuple(Sample(path.name, path) for path in made)


@dataclass
class Shelf:
    """Keeps the highest bits of frames; refuses clips of some lengths."""

    name: str = "shelf"
    profile: str = "plain"
    views: tuple[str, ...] = ("human",)
    points: tuple[float, ...] = (2.0, 4.0)
    refuses: Sequence[int] = ()
    calls: list[str] = field(default_factory=list)

    def identity(self) -> dict[str, str]:
        return {"refuses": str(self.refuses)}

    def encode(self, frames: Iterable[Pixels], info: ClipInfo, point: float, target: Path) -> None:
        self.calls.append("encode")
        lost, count = 8 - int(point), 0
        with target.open("wb") as file:
            for frame in frames:
                file.write((frame >> lost << lost).tobytes())
                count += 1
        if count in self.refuses:
            raise IcmhError(f"{count} frames are refused")

    def cut(self, source: Path, view: str, target: Path) -> Path:
        return source

    def decode(self, source: Path, view: str, info: ClipInfo) -> Iterator[Pixels]:
        self.calls.append("decode")
        shape = info.height, info.width, 3
        with source.open("rb") as file:
            while data := file.read(int(np.prod(shape))):
                yield np.frombuffer(data, np.uint8).reshape(shape)


@dataclass
class Brightness:
    """A "detector" of mean levels."""

    name: str = "brightness"
    task: str = "det"
    fingerprint: str = "0123456789abcdef"
    seen: int = 0

    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> float:
        self.seen += 1
        return float(picture.mean())

    def observe(self, prediction: float, original: float, truth: Any) -> dict[str, Any]:
        return {"off": abs(prediction - original), "truth": truth}

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        return {"agreement": 100 - float(np.mean([one["off"] for one in observations]))}


def bench(*codecs: Any, network: Any = None, clips: Clips = Clips()) -> Bench:  # noqa: B008
    from icmhcodec.bench.clips.networks import on_clips

    judge = None if network is None else on_clips(network)
    return Bench({label(codec): codec for codec in codecs}, judge, clips=clips)


def shelves() -> Bench:
    """What workers prepare."""
    return bench(Shelf(), Shelf("other", points=(3.0,)), network=Brightness())
