"""A folder of pictures, with nothing known about them."""

from __future__ import annotations

from pathlib import Path

from icmhcodec.bench.contract import Dataset, Sample
from icmhcodec.bench.datasets.layout import Choose, Layout, is_picture


def load(folder: Path, task: str | None, choose: Choose) -> Dataset | None:
    """All pictures in and below the folder."""
    del task  # a network's agreement with itself needs no truths
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if is_picture(p)]
    if not names:
        return None
    samples = tuple(Sample(name, folder / name) for name in choose(names))
    return Dataset(folder.resolve().name, "plain", samples)


LAYOUT = Layout("pictures (.png, .jpg, .webp, .tif, .avif) in or below the folder", load)
