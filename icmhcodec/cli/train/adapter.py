"""`icmh train adapter`: a task's bundle on a frozen base codec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from icmhcodec.cli import options
from icmhcodec.cli.report import complain
from icmhcodec.cli.train import tasks
from icmhcodec.cli.train.tasks import Setting
from icmhcodec.errors import UsageError


@click.command()
@tasks.asking
@click.option(
    "--profile", type=click.Choice(["scalable", "machine"]),
    help="One latent for all layers, or one of the task's own.  [default: the recipe's]",
)  # fmt: skip
@click.option(
    "--method", type=click.Choice(["adapter", "full"]), default="adapter", show_default=True,
    help="full: all weights of the base codec learn, which gives a codec of its own.",
)  # fmt: skip
@click.option("--predictor", help="Kind of the mask predictor: light, icmh-net, channels, none.")
@click.option("--kind", help="Of adapters: sfma, sma, fma, fma-sma, sma-fma, two-sma, naive.")
@click.option(
    "--start", metavar="RUN|BUNDLE", type=options.PATH,
    help="Begin with the weights of another run (its folder) or of a bundle that is here (det-1), "
    "where they fit: of another task, or profile, too.",
)  # fmt: skip
@click.option("--width", type=click.IntRange(min=1), help="Of adapters.  [default: 64]")
def adapter(
    profile: str | None,
    method: str,
    predictor: str | None,
    kind: str | None,
    start: Path | None,
    width: int | None,
    **values: Any,
) -> None:
    """Train adapters, and a mask predictor, for a recognition network, without labels.

    PHOTOS are searched with subfolders. The rate decays to zero over the schedule. Ctrl-C saves
    the state, and the same command goes on from it. At the end one photo of twenty, held out,
    shows what was gained.

    \b
    icmh train adapter photos/ --task det --minutes 60
    icmh train adapter photos/ --task det --profile machine
    icmh train adapter photos/ --task det --profile machine --start photos-det-scalable/
    icmh train adapter photos/ --network my.toml --start det-1
    icmh models add photos-det-scalable/predictor.safetensors
    """
    given = tasks.asked(values)
    chosen = {"predictor": predictor, "kind": kind, "width": width}
    if method == "full":
        if profile == "scalable" or start or any(chosen.values()):
            raise UsageError("--method full has neither adapters nor a shared latent")
        _full(tasks.setting(given, "full"))
        return
    place = tasks.setting(given, profile or ("trained" if given.recipe_name else "scalable"))
    from icmhcodec.pipeline.networks import reference_of
    from icmhcodec.training import adapter as training

    default = profile or "scalable"
    if predictor == "none" and profile == "machine":
        default = "machine-plain"  # where nothing is left out, lambda goes with the quality alone
    own = {**chosen, "profile": profile}
    recipe = tasks.recipe(place, training.TaskRecipe, default, own)
    begin = None
    if start and not tasks.begun(place):
        base = reference_of(place.codec)
        begin = training.start_with(start, str(start), base, recipe.profile)
        if begin.predictor == recipe.predictor:  # one that is trained needs no time for itself
            recipe = replace(recipe, alone=0.0)
    run = training.Run(place.codec, recipe, place.network.features, place.network.side)
    tasks.train(place, run, begin)
    details = tasks.reported(place, run)
    if recipe.hyper:
        complain("adapters in the hyper path: an estimate in floats, nothing can be coded with it")
        return
    tasks.write(place, training.export(run, place.task, place.id, details))


def _full(place: Setting) -> None:
    from icmhcodec.training import full
    from icmhcodec.training.recipe import BaseRecipe

    recipe = tasks.recipe(place, BaseRecipe, "full", {})
    run = full.Run(place.codec, recipe, place.network.features)
    if run.note:
        complain(f"not compiled, steps take longer: {run.note}")
    tasks.train(place, run)
    target = place.out / "base.safetensors"
    details = tasks.reported(place, run)
    full.export(run, place.asked.name or f"{place.codec.id}.{place.task}", details, target)
    click.echo(f"{target}: written; icmh models add {target}")
