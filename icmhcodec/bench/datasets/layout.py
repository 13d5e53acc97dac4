"""What a layout of a data set consists of, and what the loaders share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from icmhcodec.bench.contract import Dataset

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif"})

# Takes the names of all samples and gives, in order, those that are measured.
Choose = Callable[[Iterable[str]], list[str]]


class Layout(NamedTuple):
    """A layout: what it is recognised by, and its loader.

    The loader returns None for a folder in another layout, and raises UsageError for one that is in
    this layout but cannot be used.
    """

    looks_for: str
    load: Callable[[Path, str | None, Choose], Dataset | None]


def is_picture(path: Path) -> bool:
    """Whether a path is a picture's by its ending; hidden files are none."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".")


def pictures(folder: Path) -> list[Path]:
    """The picture files directly in a folder, in the order of their names; none if it is absent."""
    return sorted(p for p in folder.iterdir() if is_picture(p)) if folder.is_dir() else []


def choose(names: Iterable[str], limit: int | None, seed: int) -> list[str]:
    """A random but fixed subset of `limit` names, sorted.

    It depends on names and seed alone, and a larger limit keeps what a smaller one has chosen.
    """

    def rank(name: str) -> bytes:
        return hashlib.sha256(f"{seed} {name}".encode()).digest()

    return sorted(sorted(names, key=rank)[:limit])
