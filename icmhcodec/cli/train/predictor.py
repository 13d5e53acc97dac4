"""`icmh train predictor`: only what says which symbols a task's layer holds."""

from __future__ import annotations

from typing import Any

import click

from icmhcodec.cli.train import tasks


@click.command()
@tasks.asking
@click.option("--predictor", help="Its kind: light, icmh-net or channels.  [default: light]")
def predictor(predictor: str | None, **values: Any) -> None:
    """Train a task's mask predictor alone: its pictures are decoded without adapters.

    Otherwise as `icmh train adapter`.

    \b
    icmh train predictor photos/ --task det --predictor icmh-net
    """
    place = tasks.setting(tasks.asked(values), "predictor")
    from icmhcodec.training import adapter as training

    alone = {"predictor": predictor, "encoder": (), "decoder": (), "hyper": False, "alone": 1.0}
    recipe = tasks.recipe(place, training.TaskRecipe, "predictor", alone)
    run = training.Run(place.codec, recipe, place.network.features, place.network.side)
    tasks.train(place, run)
    details = tasks.reported(place, run)
    tasks.write(place, training.export(run, place.task, place.id, details))
