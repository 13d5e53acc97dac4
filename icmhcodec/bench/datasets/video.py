"""Clips: in DAVIS's layout, in folders of their classes as UCF101 has them, or without labels."""

from __future__ import annotations

from pathlib import Path

from icmhcodec.bench.contract import Dataset, Sample
from icmhcodec.bench.datasets.layout import Choose, Layout, is_picture, pictures
from icmhcodec.errors import UsageError

ENDINGS = frozenset({".avi", ".mp4", ".mkv", ".mov", ".webm", ".y4m"})
RESOLUTION = "480p"  # of DAVIS, where there are several
FRAMES, MASKS = "JPEGImages", "Annotations"
CLASS_FILE = "classInd.txt"  # of UCF101's lists for recognition


def holds_clips(folder: Path) -> bool:
    """Whether a folder is a data set of clips."""
    return bool(_davis(folder)) or bool(_clips(folder))


def _davis(folder: Path) -> dict[str, list[Path]]:
    """Clips by resolution: folders of frames in JPEGImages/RESOLUTION/CLIP."""
    found: dict[str, list[Path]] = {}
    for clip in sorted(folder.glob(f"{FRAMES}/*/*")):
        if clip.is_dir() and pictures(clip):
            found.setdefault(clip.parent.name, []).append(clip)
    return found


def load_davis(folder: Path, task: str | None, choose: Choose) -> Dataset | None:
    """Folders of frames, with masks in Annotations/RESOLUTION/CLIP where there are any."""
    found = _davis(folder)
    if not found:
        return None
    resolution = RESOLUTION if RESOLUTION in found else next(iter(found))
    masks = {clip.name: _masks(clip) for clip in found[resolution]}
    if task == "seg" and any(masks.values()):
        masks = {name: paths for name, paths in masks.items() if paths}
    place = folder / FRAMES / resolution
    samples = tuple(
        Sample(name, place / name, {"seg": masks[name]} if masks[name] else {})
        for name in choose(masks)
    )
    others = ", ".join(name for name in found if name != resolution)
    notices = (f"{folder}: of its resolutions {resolution} is taken, not {others}",)
    return Dataset(folder.resolve().name, "davis", samples, notices=notices if others else ())


def _masks(clip: Path) -> list[Path | None]:
    """The mask of each frame, None where a frame has none; empty where no frame has one."""
    folder = clip.parents[2] / MASKS / clip.parent.name / clip.name
    paths = [folder / f"{frame.stem}.png" for frame in pictures(clip)]
    found = [path if path.exists() else None for path in paths]
    return found if any(found) else []


def _clips(folder: Path) -> list[Path]:
    """Clips in a folder and in its folders, none where there are pictures, too."""
    found = [path for pattern in ("*", "*/*") for path in folder.glob(pattern)]
    clips = sorted(path for path in found if path.suffix.lower() in ENDINGS and path.is_file())
    clips = [path for path in clips if not path.name.startswith(".")]
    return [] if clips and any(map(is_picture, folder.rglob("*"))) else clips


def load_ucf101(folder: Path, task: str | None, choose: Choose) -> Dataset | None:
    """Clips in folders of their classes, in the order of classInd.txt or of their names."""
    clips = _clips(folder)
    classes = sorted({path.parent.name for path in clips})
    if len(classes) < 2 or any(path.parent == folder for path in clips):
        return None
    places = folder / CLASS_FILE, folder.parent / CLASS_FILE
    listed = next((path for path in places if path.exists()), None)
    notices: tuple[str, ...] = ()
    if listed is None:
        order = {name: number for number, name in enumerate(classes)}
        notices = (
            f"{folder}: no {CLASS_FILE} there; its {len(classes)} folders are classes 0 to "
            f"{len(classes) - 1} in the order of their names",
        )
    else:
        order = _listed(listed, classes)
    truths = {f"{path.parent.name}/{path.name}": order[path.parent.name] for path in clips}
    samples = tuple(Sample(name, folder / name, {"cls": truths[name]}) for name in choose(truths))
    names = {"cls": tuple(sorted(order, key=order.__getitem__))}
    said = notices if task == "cls" else ()
    return Dataset(folder.resolve().name, "ucf101", samples, names, said)


def _listed(source: Path, classes: list[str]) -> dict[str, int]:
    """Class indexes from 0 by name, of lines such as `1 ApplyEyeMakeup`."""
    order = {}
    for line in source.read_text("utf-8").splitlines():
        number, _, name = line.strip().partition(" ")
        if not number.isdecimal() or not name:
            raise UsageError(f"{source}: lines are a number from 1 and a class, not {line!r}")
        order[name.strip()] = int(number) - 1
    missing = [name for name in classes if name not in order]
    if missing:
        raise UsageError(f"{source}: does not name the folder {missing[0]}")
    return order


def load_clips(folder: Path, task: str | None, choose: Choose) -> Dataset | None:
    """Clips in a folder and in its folders, without labels."""
    del task
    clips = {path.relative_to(folder).as_posix(): path for path in _clips(folder)}
    if not clips:
        return None
    samples = tuple(Sample(name, clips[name]) for name in choose(clips))
    return Dataset(folder.resolve().name, "clips", samples)


# In the order in which they are tried.
LAYOUTS = {
    "davis": Layout(f"folders of frames in {FRAMES}/RESOLUTION, masks in {MASKS}", load_davis),
    "ucf101": Layout("a folder of clips for each class, and nothing else", load_ucf101),
    "clips": Layout(f"clips ({', '.join(sorted(ENDINGS))}) and no pictures", load_clips),
}
