"""Data sets, recognised by the layout of their folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from icmhcodec.bench.contract import Dataset
from icmhcodec.bench.datasets import coco, imagenet, panoptic, plain, video, voc
from icmhcodec.bench.datasets.layout import Layout, choose
from icmhcodec.bench.datasets.video import holds_clips
from icmhcodec.errors import UsageError

__all__ = ["LAYOUTS", "holds_clips", "recognise"]

# In the order in which they are tried.
LAYOUTS: dict[str, Layout] = {
    **video.LAYOUTS,
    "coco": coco.LAYOUT,
    "panoptic": panoptic.LAYOUT,
    "voc": voc.LAYOUT,
    "labels": imagenet.LABELS,
    "classes": imagenet.CLASSES,
    "plain": plain.LAYOUT,
}


def recognise(
    folder: Path, *, limit: int | None = None, seed: int = 0, task: str | None = None
) -> Dataset:
    """The data set in a folder, with what is known of each picture or clip.

    Of a set that has truths for `task` ("cls", "det", "seg") only the pictures with one count.
    `limit` takes a random subset, fixed by `seed`. Pictures and clips are not opened here.
    UsageError where the layout is not understood or holds neither.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name one with pictures or clips")
    for layout in LAYOUTS.values():
        dataset = layout.load(folder, task, partial(choose, limit=limit, seed=seed))
        if dataset is not None:
            return dataset
    sought = "; ".join(f"{name}: {layout.looks_for}" for name, layout in LAYOUTS.items())
    raise UsageError(f"{folder}: no data set is recognised here; looked for {sought}")
