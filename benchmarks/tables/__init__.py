"""Fills the pages' tables from benchmarks/results: `<!-- table: NAME -->` to `<!-- end -->`.

A table whose results are not there is left empty.

    python -m benchmarks.tables            writes README.md and the pages of docs that have tables
    python -m benchmarks.tables --check    exits with 1 where one is out of date
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from benchmarks import common
from benchmarks.tables import codecs, exactness, reports, speed, tasks

DOCS = common.ROOT / "docs"
PAGES = (
    common.ROOT / "README.md",
    DOCS / "measured.md",
    DOCS / "training.md",
    DOCS / "video.md",
)
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

# What people get of a clip with a task's layers is the plain one's, for some 1 % more bits.
WITH_TASKS = ("icmh scalable human", "all-intra scalable human")

TABLES: dict[str, tuple[tuple[str, ...], Callable[..., list[str]]]] = {
    "curves": (
        (
            "rate-mbt2018-mean-gain-0.json",
            "rate.json",
            "rate-mbt2018-mean-gain-2.json",
            "rate-mbt2018-mean-gain-3.json",
        ),
        codecs.curves,
    ),
    "kodak": (("rate.json",), codecs.kodak),
    "kodak-3": (("rate-mbt2018-mean-gain-3.json",), codecs.kodak),
    "ceiling": (("ceiling.json",), codecs.ceiling),
    "layers": (("layers.json",), codecs.layers),
    "exactness-runs": (
        (
            "exactness.json",
            "exactness-mbt2018-mean-gain-1.json",
            "exactness-mbt2018-mean-gain-2.json",
            "exactness-mbt2018-mean-gain-3.json",
        ),
        exactness.runs,
    ),
    "exactness": (("exactness-mbt2018-mean-gain-1.json",), exactness.exactness),
    "exactness-0": (("exactness.json",), exactness.exactness),
    "speed-pairs": (("speed.json",), speed.pairs),
    "speed": (("speed.json",), speed.speed),
    "bench-people": (("bench-kodak.json",), reports.bench),
    "bench-layers": (
        ("bench-detection.json", "bench-classification.json", "bench-segmentation.json"),
        reports.layers,
    ),
    "bench-detection": (("bench-detection.json",), reports.bench),
    "bench-classification": (("bench-classification.json",), reports.bench),
    "bench-segmentation": (("bench-segmentation.json",), reports.bench),
    "bench-clips-short": (("bench-clips.json",), reports.clips),
    "bench-clips": (("bench-clips.json",), partial(reports.bench, without=WITH_TASKS)),
    "bench-clips-people": (
        ("bench-clips.json",),
        partial(reports.bench, at="psnr", without=WITH_TASKS),
    ),
    "video-speed": (("video-speed.json",), speed.video_speed),
    "video-drift": (("video-drift.json",), tasks.video_drift),
    "other-networks": (("other-networks.json",), reports.other_networks),
    "limits": (("limits.json",), tasks.limits),
}


def render(name: str, folder: Path = common.RESULTS) -> str:
    """A table by name, empty where its results are not there."""
    if name not in TABLES:
        raise click.ClickException(f"no table '{name}'; there are {', '.join(TABLES)}")
    files, table = TABLES[name]
    paths = [folder / file for file in files]
    if not all(path.exists() for path in paths):
        return ""
    return "\n\n".join(table(*(json.loads(path.read_text()) for path in paths))) + "\n"


def fill(text: str, folder: Path = common.RESULTS) -> str:
    """A text with all its marked tables made anew."""
    return MARKED.sub(lambda match: match[1] + render(match[2], folder) + match[3], text)
