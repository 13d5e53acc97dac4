"""Folders of video: recognised, so that their frames are not taken for a set of pictures."""

from __future__ import annotations

from pathlib import Path

from icmhcodec.bench.contract import Dataset
from icmhcodec.bench.datasets.layout import Choose, Layout, is_picture, pictures
from icmhcodec.errors import UsageError

CLIPS = frozenset({".avi", ".mp4", ".mkv", ".mov", ".webm"})


def load(folder: Path, task: str | None, choose: Choose) -> Dataset | None:
    """None, or UsageError where the folder holds video."""
    del task, choose
    kind = "a DAVIS folder" if _is_davis(folder) else "a folder of clips" if _clips(folder) else ""
    if kind:
        raise UsageError(f"{folder}: {kind}; video comes later, name a data set of pictures")
    return None


def _is_davis(folder: Path) -> bool:
    """Whether there are frames in JPEGImages/RESOLUTION/CLIP."""
    return any(pictures(clip) for clip in folder.glob("JPEGImages/*/*") if clip.is_dir())


def _clips(folder: Path) -> bool:
    """Whether there are clips, in folders of their classes or without, and no pictures."""
    found = [path for pattern in ("*", "*/*") for path in folder.glob(pattern)]
    clips = any(path.suffix.lower() in CLIPS for path in found)
    return clips and not any(map(is_picture, folder.rglob("*")))


LAYOUT = Layout(
    "DAVIS (JPEGImages/RESOLUTION/CLIP) or nothing but clips (video comes later)",
    load,
)
