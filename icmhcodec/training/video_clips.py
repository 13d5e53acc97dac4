"""Random crops of clips, and of photos that are made to move; seed and step decide each batch.

A clip is a video file, or a folder of two or more pictures in the order of their names (DAVIS's
layout). Clips are decoded once, into a file of bytes that all processes map into memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import Dataset

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio.clip import ClipFrame
from icmhcodec.imageio.clip_read import ClipReader
from icmhcodec.training import photos
from icmhcodec.training.photos import Photo, Photos, Pixels

SUFFIXES = {".mp4", ".avi", ".mkv", ".mov", ".webm", ".y4m", ".m4v"}
PICTURES = {".png", ".jpg", ".jpeg"}
CACHE = "clips.u8"
CACHE_LIMIT = 8 << 30  # bytes
GAPS = 1, 1, 2, 3  # frames from one to the next that is shown
# How a photo moves from frame to frame, at most: pixels, degrees, zoom; and what it changes by.
SHIFT, TURN, ZOOM, CHANGE = 6.0, 1.0, 0.015, 0.3
MARGIN = 1.5  # of the side of what is cut of a photo to move in


@dataclass(frozen=True)
class Clip:
    """A clip: its name, size, number of frames, and where its pixels lie in the cache."""

    name: str
    frames: int
    height: int
    width: int
    offset: int


@dataclass(frozen=True)
class Clips:
    """The clips of a folder, those held out apart."""

    cache: Path
    training: tuple[Clip, ...]
    held_out: tuple[Clip, ...]

    def pixels(self, clip: Clip) -> Pixels:
        """All frames [T,H,W,3] of a clip, mapped."""
        shape = clip.frames, clip.height, clip.width, 3
        stored = photos.mapped(self.cache)[clip.offset : clip.offset + int(np.prod(shape))]
        return stored.reshape(shape)


def find(folder: Path) -> list[Path]:
    """Video files and folders of pictures below a folder, in order."""
    files = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    folders = [p for p in [folder, *folder.rglob("*")] if p.is_dir() and _pictures(p) > 1]
    return sorted(files + folders)


def _pictures(folder: Path) -> int:
    return sum(p.suffix.lower() in PICTURES for p in folder.iterdir())


def load(folder: Path, minimum: int, cache: Path, limit: int = CACHE_LIMIT) -> Clips:
    """The clips below a folder of at least `minimum` pixels a side, decoded into a cache folder.

    What does not fit under its limit is left out. UsageError where fewer than two are left: one is
    held out.
    """
    clips = [
        clip
        for clip in _cached(find(folder), cache, limit)
        if min(clip.height, clip.width) >= minimum and clip.frames > 1
    ]
    if len(clips) < 2:
        raise UsageError(f"{folder}: fewer than two clips of at least {minimum} pixels a side")
    apart = [clip for clip in clips if photos.held_out(Path(clip.name))]
    if len(apart) in (0, len(clips)):  # of few clips, hashing may take none or all
        apart = clips[:1]
    rest = tuple(clip for clip in clips if clip not in apart)
    return Clips(cache / CACHE, rest, tuple(apart))


def _cached(paths: Sequence[Path], cache: Path, limit: int) -> list[Clip]:
    """All readable clips; the cache is made anew where it is of other files."""
    index = (cache / CACHE).with_suffix(".json")
    stamp = [[str(p.resolve()), p.stat().st_mtime_ns] for p in paths]
    key = hashlib.sha256(json.dumps([stamp, limit]).encode()).hexdigest()
    if index.exists() and (stored := json.loads(index.read_text()))["key"] == key:
        return [Clip(**clip) for clip in stored["clips"]]
    cache.mkdir(parents=True, exist_ok=True)
    part = cache / f"{CACHE}.part"
    clips: list[Clip] = []
    with part.open("wb") as file:
        for path in paths:
            offset, shape, count = file.tell(), None, 0
            for pixels in _frames(path):
                if pixels.shape != (shape := shape or pixels.shape):
                    break  # frames of one size are one clip
                if file.tell() + pixels.size > limit:
                    break
                file.write(np.ascontiguousarray(pixels).data)
                count += 1
            if shape and count:
                clips.append(Clip(path.name, count, shape[0], shape[1], offset))
    index.unlink(missing_ok=True)  # of what stood there before
    part.replace(cache / CACHE)
    part.write_text(json.dumps({"key": key, "clips": [asdict(clip) for clip in clips]}))
    part.replace(index)
    return clips


def _frames(path: Path) -> Iterator[Pixels]:
    """Frames [H,W,3] of a clip, as far as it can be read."""
    try:
        with ClipReader(path) as reader:
            for item in reader:
                if isinstance(item, ClipFrame):
                    yield item.pixels
    except (IcmhError, OSError):
        return


@dataclass(frozen=True)
class Sequences(Dataset[Tensor]):
    """Batches by step: uint8 [count*frames,side,side,3], the frames of a sequence side by side.

    A share `synthetic` of them are photos that move; all where there are no clips, none where there
    are no photos. Clips are drawn by the root of the number of their pixels.
    """

    clips: Clips | None
    photos: Photos | None
    side: int
    batch: int
    frames: int
    synthetic: float = 0.5
    scales: Sequence[float] = (1.0,)
    mirror: bool = True
    seed: int = 0
    rank: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        """Raise UsageError where there is nothing to draw from."""
        if self.clips is None and self.photos is None:
            raise UsageError("neither clips nor photos to train on")

    def __getitem__(self, step: int) -> Tensor:
        """The sequences of a step."""
        count = self.batch // self.processes
        first = self.rank * count
        drawn = [self._sequence(step, number) for number in range(first, first + count)]
        return torch.from_numpy(np.concatenate(drawn))

    def _sequence(self, step: int, number: int) -> Pixels:
        random = np.random.default_rng((self.seed, step, number))
        share = self.synthetic if self.photos else 0.0
        still = random.random() < (share if self.clips else 1.0)
        shown = self._moved(random) if still else self._cut(random)
        if self.mirror and random.random() < 0.5:
            shown = shown[:, :, ::-1]
        return np.ascontiguousarray(shown[::-1] if random.random() < 0.5 else shown)

    def _cut(self, random: np.random.Generator) -> Pixels:
        """Frames of a clip, all of one window."""
        assert self.clips is not None
        choices, cumulative = self._choices
        chosen = np.searchsorted(cumulative, random.random() * cumulative[-1], "right")
        clip, scale = choices[int(chosen)]
        most = max(1, (clip.frames - 1) // (self.frames - 1))
        gap = min(int(random.choice(GAPS)), most)
        start = int(random.integers(max(1, clip.frames - gap * (self.frames - 1))))
        window = min(round(self.side / scale), clip.height, clip.width)
        top = int(random.integers(clip.height - window + 1))
        left = int(random.integers(clip.width - window + 1))
        numbers = [min(start + gap * t, clip.frames - 1) for t in range(self.frames)]
        pixels = self.clips.pixels(clip)
        return np.stack(
            [self._sized(pixels[n, top : top + window, left : left + window]) for n in numbers]
        )

    def _sized(self, pixels: Pixels) -> Pixels:
        if pixels.shape[0] == self.side:
            return pixels
        small = Image.fromarray(pixels).resize((self.side,) * 2, Image.Resampling.LANCZOS)
        return np.asarray(small)

    @cached_property
    def _choices(self) -> tuple[list[tuple[Clip, float]], npt.NDArray[np.float64]]:
        """Clips with scales, and their weights added up."""
        assert self.clips is not None
        choices = [
            (clip, scale)
            for clip in self.clips.training
            for scale in self.scales
            if scale == max(self.scales) or scale * min(clip.height, clip.width) >= self.side
        ]
        weights = [s * (c.height * c.width * c.frames) ** 0.5 for c, s in choices]
        return choices, np.cumsum(weights)

    def _moved(self, random: np.random.Generator) -> Pixels:
        """A photo that moves, and before it a part of another one that moves differently."""
        assert self.photos is not None
        chosen = self.photos.training
        ground, other = (chosen[int(random.integers(len(chosen)))] for _ in range(2))
        shown = self._path(self.photos, ground, random)
        if random.random() < 0.7:
            shown = self._covered(shown, self._path(self.photos, other, random), random)
        return shown

    def _path(self, found: Photos, photo: Photo, random: np.random.Generator) -> Pixels:
        """Frames along a path of shifts, turns and zooms that changes smoothly."""
        window = min(round(self.side * MARGIN), photo.height, photo.width)
        top = int(random.integers(photo.height - window + 1))
        left = int(random.integers(photo.width - window + 1))
        image = Image.fromarray(found.pixels(photo)[top : top + window, left : left + window])
        limits = np.array([SHIFT, SHIFT, np.deg2rad(TURN), ZOOM])
        speed = random.uniform(-1, 1, 4) * limits * random.choice([0.2, 0.5, 1.0])
        place = np.zeros(4)
        shown = []
        for _ in range(self.frames):
            shown.append(_seen(image, place, self.side))
            place = place + speed
            speed = speed + CHANGE * random.uniform(-1, 1, 4) * np.abs(speed)
        return np.stack(shown)

    def _covered(self, ground: Pixels, other: Pixels, random: np.random.Generator) -> Pixels:
        """An ellipse of other frames on the ground, which drifts across it."""
        side = self.side
        radii = random.uniform(0.1, 0.3, 2) * side
        middle, speed = random.uniform(0.1, 0.9, 2) * side, random.uniform(-SHIFT, SHIFT, 2)
        shown = []
        for behind, front in zip(ground, other, strict=True):
            mask = Image.new("L", (side, side))
            box = [*(middle - radii), *(middle + radii)]
            ImageDraw.Draw(mask).ellipse([float(v) for v in box], fill=255)
            pasted = Image.composite(Image.fromarray(front), Image.fromarray(behind), mask)
            shown.append(np.asarray(pasted))
            middle = middle + speed
        return np.stack(shown)

    def held_out(self, most: int) -> Tensor:
        """Up to `most` sequences, uint8 [n*frames,side,side,3], of what is not trained on."""
        if self.clips is None:
            assert self.photos is not None
            apart = self.photos.held_out[: max(1, most)]
            random = np.random.default_rng(0)
            moved = [self._path(self.photos, photo, random) for photo in apart]
            return torch.from_numpy(np.concatenate(moved))
        clips = self.clips.held_out
        each = max(1, most // len(clips))
        middles = [part for clip in clips[:most] for part in self._middles(clip, each)]
        return torch.from_numpy(np.concatenate(middles))

    def _middles(self, clip: Clip, count: int) -> Iterable[Pixels]:
        """The middle of a clip's frames, so many times through its length."""
        assert self.clips is not None
        pixels = self.clips.pixels(clip)
        top, left = (clip.height - self.side) // 2, (clip.width - self.side) // 2
        for start in np.linspace(0, max(0, clip.frames - self.frames), count).astype(int):
            numbers = np.minimum(start + np.arange(self.frames), clip.frames - 1)
            yield pixels[numbers][:, top : top + self.side, left : left + self.side]

    def from_step(self, step: int, workers: int) -> Iterator[Tensor]:
        """The batches of that step and all after it, made by so many processes."""
        return photos.batches(self, step, workers)


def _seen(image: Image.Image, place: npt.NDArray[np.float64], side: int) -> Pixels:
    """The middle of a picture, shifted, turned and zoomed."""
    x, y, angle, zoom = place
    cos, sin = np.cos(angle) * np.exp(-zoom), np.sin(angle) * np.exp(-zoom)
    middle, half = image.width / 2, side / 2
    matrix = (
        cos, -sin, middle + x - cos * half + sin * half,
        sin, cos, middle + y - sin * half - cos * half,
    )  # fmt: skip
    seen = image.transform(
        (side, side),
        Image.Transform.AFFINE,
        [float(v) for v in matrix],
        resample=Image.Resampling.BICUBIC,
    )
    return np.asarray(seen)
