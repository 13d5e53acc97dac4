"""Random crops of a folder of photos, label-free; each batch is decided by seed and step alone.

Photos are decoded once, into a file of bytes that all processes map into memory. What does not fit
under its limit is decoded whenever it is drawn.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from icmhcodec.errors import UsageError

Pixels = npt.NDArray[np.uint8]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
HELD_OUT = 20  # one photo of so many is for validation
CACHE = "photos.u8"
CACHE_LIMIT = 8 << 30  # bytes


@dataclass(frozen=True)
class Photo:
    """A picture file, its size, and where its pixels lie in the cache (-1: nowhere)."""

    path: str
    height: int
    width: int
    offset: int


@dataclass(frozen=True)
class Photos:
    """The photos of a folder that are large enough, those held out apart."""

    cache: Path
    training: tuple[Photo, ...]
    held_out: tuple[Photo, ...]

    def pixels(self, photo: Photo) -> Pixels:
        """Pixels [H,W,3] of a photo."""
        if photo.offset < 0:
            return _decode(Path(photo.path))
        size = photo.height * photo.width * 3
        stored = mapped(self.cache)[photo.offset : photo.offset + size]
        return stored.reshape(photo.height, photo.width, 3)


@lru_cache(maxsize=2)  # photos and clips
def mapped(path: Path) -> Pixels:
    """The bytes of a file of decoded pixels, as they are needed."""
    return np.memmap(path, np.uint8, "r")


def _decode(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def held_out(path: Path) -> bool:
    """Whether a photo is for validation: its name alone decides, wherever it lies."""
    return hashlib.sha256(path.name.encode()).digest()[0] * HELD_OUT < 256


def find(folder: Path) -> list[Path]:
    """The picture files below a folder, in order."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def load(
    folder: Path, minimum: int, cache: Path, limit: int = CACHE_LIMIT, but: Path | None = None
) -> Photos:
    """The photos below a folder of at least `minimum` pixels a side, decoded into a cache folder.

    UsageError where fewer than two are left. Files that cannot be read are passed, and so is `but`.
    """
    paths = [path for path in find(folder) if but is None or path.resolve() != but.resolve()]
    photos = [p for p in _cached(paths, cache, limit) if min(p.height, p.width) >= minimum]
    if len(photos) < 2:
        raise UsageError(f"{folder}: fewer than two photos of at least {minimum} pixels a side")
    chosen = [photo for photo in photos if held_out(Path(photo.path))]
    if len(chosen) in (0, len(photos)):  # of few photos, hashing may take none or all
        chosen = photos[:1]
    apart = set(chosen)
    rest = tuple(photo for photo in photos if photo not in apart)
    return Photos(cache / CACHE, rest, tuple(chosen))


def _cached(paths: Sequence[Path], cache: Path, limit: int) -> list[Photo]:
    """All readable photos of these files; the cache is made anew where it is of other files."""
    index = (cache / CACHE).with_suffix(".json")
    stamp = [[str(p.resolve()), p.stat().st_mtime_ns, p.stat().st_size] for p in paths]
    key = hashlib.sha256(json.dumps([stamp, limit]).encode()).hexdigest()
    if index.exists() and (stored := json.loads(index.read_text()))["key"] == key:
        return [Photo(**photo) for photo in stored["photos"]]
    cache.mkdir(parents=True, exist_ok=True)
    part = cache / f"{CACHE}.part"
    photos = []
    with part.open("wb") as file:
        for path in paths:
            try:
                pixels = _decode(path)
            except Exception:  # Pillow raises nearly everything for broken files
                continue
            height, width = pixels.shape[:2]
            fits = file.tell() + pixels.size <= limit
            photos.append(Photo(str(path.resolve()), height, width, file.tell() if fits else -1))
            if fits:
                file.write(pixels.data)
    index.unlink(missing_ok=True)  # of what stood there before
    part.replace(cache / CACHE)
    part.write_text(json.dumps({"key": key, "photos": [asdict(photo) for photo in photos]}))
    part.replace(index)
    return photos


@dataclass(frozen=True)
class Crops(Dataset[Tensor]):
    """Batches by step: uint8 [count,side,side,3], where this process takes its part of `batch`.

    A photo is drawn by the root of its area, at one of the scales that leave it large enough.
    """

    photos: Photos
    side: int
    batch: int
    scales: Sequence[float] = (1.0,)
    mirror: bool = True
    turn: bool = True
    seed: int = 0
    rank: int = 0
    processes: int = 1

    def __getitem__(self, step: int) -> Tensor:
        """The crops of a step."""
        count = self.batch // self.processes
        first = self.rank * count
        crops = [self._crop(step, number) for number in range(first, first + count)]
        return torch.from_numpy(np.stack(crops))

    def _crop(self, step: int, number: int) -> Pixels:
        random = np.random.default_rng((self.seed, step, number))
        choices, cumulative = self._choices
        chosen = np.searchsorted(cumulative, random.random() * cumulative[-1], "right")
        photo, scale = choices[int(chosen)]
        window = min(round(self.side / scale), photo.height, photo.width)
        top = int(random.integers(photo.height - window + 1))
        left = int(random.integers(photo.width - window + 1))
        pixels = self.photos.pixels(photo)[top : top + window, left : left + window]
        if window != self.side:
            small = Image.fromarray(pixels).resize((self.side,) * 2, Image.Resampling.LANCZOS)
            pixels = np.asarray(small)
        mirror, flip, transpose = random.random(3) < 0.5
        pixels = pixels[:, ::-1] if mirror and self.mirror else pixels
        pixels = pixels[::-1] if flip and self.turn else pixels
        return pixels.swapaxes(0, 1) if transpose and self.turn else pixels

    @cached_property
    def _choices(self) -> tuple[list[tuple[Photo, float]], npt.NDArray[np.float64]]:
        """Photos with scales, and their weights added up."""
        choices = [
            (photo, scale)
            for photo in self.photos.training
            for scale in self.scales
            if scale == max(self.scales) or scale * min(photo.height, photo.width) >= self.side
        ]
        weights = [scale * (photo.height * photo.width) ** 0.5 for photo, scale in choices]
        return choices, np.cumsum(weights)

    def held_out(self, most: int) -> Tensor:
        """The middles, uint8 [n,side,side,3], of up to `most` held-out photos spread evenly."""
        chosen = self.photos.held_out[:: max(1, -(-len(self.photos.held_out) // most))]
        middles = []
        for photo in chosen:
            top, left = (photo.height - self.side) // 2, (photo.width - self.side) // 2
            pixels = self.photos.pixels(photo)
            middles.append(pixels[top : top + self.side, left : left + self.side])
        return torch.from_numpy(np.stack(middles))

    def from_step(self, step: int, workers: int) -> Iterator[Tensor]:
        """The batches of that step and all after it, cut by so many processes."""
        return batches(self, step, workers)


def batches(dataset: Dataset[Tensor], step: int, workers: int) -> Iterator[Tensor]:
    """The items of a dataset from that step on, made by so many processes."""
    more: dict[str, Any] = {}
    if workers:
        # Spawned: a fork of a process with threads may hang.
        more = {"multiprocessing_context": "spawn", "worker_init_fn": _ignore_interrupts}
        more |= {"prefetch_factor": 4}
    return iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=range(step, 1 << 40),
            num_workers=workers,
            generator=torch.Generator(),  # else it draws from the global one
            **more,
        )
    )


def _ignore_interrupts(worker: int) -> None:
    """Ctrl-C goes to all processes of a terminal; the first one ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def to_input(crops: Tensor, device: torch.device | str) -> Tensor:
    """Float32 [B,3,S,S] in [0,1], channels last in memory, of uint8 [B,S,S,3]."""
    return crops.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)
