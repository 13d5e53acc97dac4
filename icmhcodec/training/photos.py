"""Random crops of a folder of photos, label-free."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from icmhcodec.errors import UsageError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}
HELD_OUT = 20  # every twentieth photo is for validation


def find_photos(folder: Path, minimum: int) -> tuple[list[Path], list[Path]]:
    """Photos below a folder of at least `minimum` pixels a side: (training, held out)."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    large = []
    for path in paths:
        with Image.open(path) as image:
            if min(image.size) >= minimum:
                large.append(path)
    held_out = large[HELD_OUT - 1 :: HELD_OUT]
    training = [p for k, p in enumerate(large) if k % HELD_OUT != HELD_OUT - 1]
    if not held_out:
        raise UsageError(
            f"{folder}: fewer than {HELD_OUT} photos of at least {minimum} pixels to train on"
        )
    return training, held_out


def crop(path: Path, size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """A random square crop [size,size,3], mirrored half of the time."""
    with Image.open(path) as image:
        width, height = image.size
        left = int(random.integers(width - size + 1))
        top = int(random.integers(height - size + 1))
        pixels = np.asarray(image.convert("RGB").crop((left, top, left + size, top + size)))
    return pixels[:, ::-1] if random.random() < 0.5 else pixels


def batch(paths: list[Path], count: int, size: int, random: np.random.Generator) -> Tensor:
    """Random crops as float32 [count,3,size,size] in [0,1], channels last in memory."""
    chosen = random.choice(len(paths), count)
    crops = np.stack([crop(paths[i], size, random) for i in chosen])
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255)
