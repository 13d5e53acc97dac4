"""A run's figures on disk: a line of JSON per report, TensorBoard's logs, a PNG of the curves."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from icmhcodec.training.loop import Progress

METRICS, CURVES, BOARD = "metrics.jsonl", "curves.png", "tensorboard"
Row = dict[str, Any]


class Journal:
    """Appends what a run reports to the files in its folder.

    `missing` names what is not written and why, in one line each.
    """

    def __init__(self, folder: Path, steps: int = 0, decibels: str = "PSNR") -> None:
        """Go on after a number of steps: lines of later ones, not in the state, are dropped.

        `decibels` says what the points of the validation are in.
        """
        self.folder, self.decibels = folder, decibels
        self.rows = [row for row in read(folder) if row["steps"] <= steps] if steps else []
        lines = [json.dumps(row) + "\n" for row in self.rows]
        (folder / METRICS).write_text("".join(lines))
        self.missing: list[str] = []
        self.board: Any = None
        if _installed("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            board: Any = SummaryWriter
            self.board = board(str(folder / BOARD), purge_step=steps or None)
        if not _installed("matplotlib"):
            self.missing.append("no PNG of the curves: matplotlib is not here (extra 'train')")

    def note(self, progress: Progress) -> None:
        """Write one report; after a validation, draw the curves."""
        row = {k: v for k, v in asdict(progress).items() if v not in (None, {})}
        self.rows.append(row)
        with (self.folder / METRICS).open("a") as file:
            file.write(json.dumps(row) + "\n")
        if self.board is not None:
            for name, value in _scalars(progress, self.decibels).items():
                self.board.add_scalar(name, value, progress.steps)
            self.board.flush()
        if progress.validation is not None and _installed("matplotlib"):
            draw(self.rows, self.folder / CURVES, self.decibels)


def read(folder: Path) -> list[Row]:
    """The rows of a run's folder, but for a last one that was cut off."""
    path = folder / METRICS
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _scalars(progress: Progress, decibels: str) -> dict[str, float]:
    scalars = {f"train/{name}": value for name, value in progress.means.items()}
    if progress.steps_per_second:
        scalars["train/steps_per_second"] = progress.steps_per_second
    if progress.validation is not None:
        scalars["held_out/loss"] = progress.validation.loss
        for point in progress.validation.curve:
            scalars[f"held_out/{decibels}_q{point.quality:g}"] = point.psnr
            scalars[f"held_out/bpp_q{point.quality:g}"] = point.bpp
    return scalars


def draw(rows: Sequence[Row], path: Path, decibels: str) -> None:
    """A PNG of loss over steps, and of the validation's points over rate, first and last."""
    from matplotlib.figure import Figure

    validated = [row for row in rows if "validation" in row]
    trained = [row for row in rows if "means" in row]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    loss, rate = figure.subplots(1, 2)
    steps = [row["steps"] for row in trained]
    loss.plot(steps, [row["means"]["loss"] for row in trained], ".", ms=2, label="training")
    held_out = [row["validation"]["loss"] for row in validated]
    loss.plot([row["steps"] for row in validated], held_out, "o-", ms=3, label="held out, average")
    loss.set(xlabel="step", ylabel="loss", yscale="log")
    loss.legend()
    for row in [*validated[:1], *validated[-1:]]:
        curve = row["validation"]["curve"]
        points = [[point[key] for point in curve] for key in ("bpp", "psnr")]
        rate.plot(*points, "o-", ms=3, label=f"step {row['steps']}")
    rate.set(xlabel="bits per pixel", ylabel=f"{decibels}, dB", xscale="log")
    rate.legend()
    figure.savefig(path, format="png", dpi=110)
