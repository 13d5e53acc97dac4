"""Class-index PNGs made from a set's own annotations, kept in the cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from icmhcodec.codecs.zoo import cache_folder


def folder_for(annotations: Path) -> Path:
    """Where the masks made from an annotations file lie; other contents have another folder."""
    digest = hashlib.sha256(annotations.read_bytes()).hexdigest()[:16]
    return cache_folder() / "masks" / digest


def made(path: Path, make: Callable[[], npt.NDArray[np.uint8]]) -> Path:
    """A PNG of class indexes, made where it is not there yet: whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        Image.fromarray(make()).save(part, "PNG")
        part.replace(path)
    return path
