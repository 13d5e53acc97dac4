"""What every training command does around its run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from icmhcodec.cli.report import complain
from icmhcodec.cli.train import live
from icmhcodec.errors import UsageError

if TYPE_CHECKING:
    from icmhcodec.training.loop import Batches, Progress, Run, Validation
    from icmhcodec.training.photos import Crops
    from icmhcodec.training.recipe import Recipe


def train(
    run: Run,
    folder: Path,
    out: Path,
    cache: Path | None = None,
    validate: Callable[[], Validation] | None = None,
) -> bool:
    """Train on a folder of photos; True in the process that reports.

    Exit with 130 where it was stopped.
    """
    crops = cut(run.recipe, folder, out, cache)
    trained, held_out = len(crops.photos.training), len(crops.photos.held_out)
    run.about |= {"data": folder.resolve().name}
    run.about |= {"photos": str(trained), "held_out": str(held_out)}
    return train_on(run, crops, out, f"{trained} photos, {held_out} held out", validate)


def cut(recipe: Recipe, folder: Path, out: Path, cache: Path | None = None) -> Crops:
    """The crops of a folder of photos, decoded once; all processes ask together."""
    from icmhcodec.training import photos, processes
    from icmhcodec.training.journal import CURVES

    first = processes.rank() == 0
    for turn in (first, not first):  # one process decodes the photos for all
        if turn:
            found = photos.load(folder, recipe.crop, cache or out, but=out / CURVES)
        processes.wait()
    return photos.Crops(
        found, recipe.crop, recipe.batch, recipe.scales, recipe.mirror, recipe.turn,
        recipe.seed, processes.rank(), processes.count(),
    )  # fmt: skip


def refuse_other_start(
    out: Path, begun_from: str, given: Path | None, option: str = "--init"
) -> None:
    """Refuse weights other than those that a run was begun with."""
    if given is not None and given.name != begun_from:
        raise UsageError(
            f"{out} holds a run from {begun_from or 'scratch'}, which goes on; leave {option} out"
        )


def refuse_other_recipe(out: Path, begun_with: Recipe, chosen: Recipe) -> None:
    """Refuse a recipe other than that of a run that goes on, its length and workers aside."""
    free = {key: getattr(begun_with, key) for key in ("minutes", "steps", "workers")}
    if replace(chosen, **free) != begun_with:
        raise UsageError(f"{out} holds a run of another recipe; leave --recipe out")


def train_on(
    run: Run,
    crops: Batches,
    out: Path,
    what: str,
    validate: Callable[[], Validation] | None = None,
) -> bool:
    """Train on batches, `what` they are of; True in the process that reports.

    Exit with 130 where it was stopped.
    """
    from icmhcodec.training import loop, processes
    from icmhcodec.training.journal import Journal

    first = processes.rank() == 0
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(out, run.steps, run.decibels) if first else None
    if journal:
        complain(f"{'going on' if run.steps else 'training'} on {what}")
        for line in journal.missing:
            complain(line)
    with live.view(first) as show, live.stop_on_interrupt() as stopped:

        def report(progress: Progress) -> None:
            show(progress)
            if journal:
                journal.note(progress)

        loop.train(run, crops, out, report, stopped, validate)
    if run.done < 1:
        if first:
            complain(f"stopped at {run.done:.0%}, {out / loop.STATE} is saved to go on from")
        raise click.exceptions.Exit(130)
    return first
