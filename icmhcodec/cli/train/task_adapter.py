"""`icmh train task-adapter`: EAC's psi on the decoded pictures of a trained bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icmhcodec.cli.train import tasks
from icmhcodec.cli.train.tasks import Setting
from icmhcodec.errors import MissingWeightsError

if TYPE_CHECKING:
    from icmhcodec.modelfile import ModelFile


@click.command("task-adapter")
@tasks.asking
@click.option(
    "--bundle", metavar="RUN|ID", help="A run's folder or a bundle that is here.  [default: TASK]"
)
@click.option(
    "--profile", type=click.Choice(["scalable", "machine"]), default="scalable", show_default=True,
    help="Of a bundle that is named by its id.",
)  # fmt: skip
@click.option(
    "--targets", type=click.Choice(["features", "outputs"]), default="features",
    show_default=True, help="What of the network is to stay the same.",
)  # fmt: skip
def task_adapter(bundle: str | None, profile: str, targets: str, **values: Any) -> None:
    """Train an adapter of a task's decoded picture, the second stage after `train adapter`.

    The bundle's adapter file is written anew with it; its predictor stays as it is.

    \b
    icmh train task-adapter photos/ --task det --bundle photos-det-scalable/
    """
    place = tasks.setting(tasks.asked(values), "task-adapter")
    from icmhcodec.training import picture, task

    adapter, predictor = _files(place, bundle or place.task, profile)
    frozen = picture.Bundle(place.codec, adapter, predictor)
    recipe = tasks.recipe(place, picture.PictureRecipe, "task-adapter", {})
    aim = task.targets(place.network, targets)
    run = picture.Run(place.codec, frozen, recipe, aim, place.network.side)
    tasks.train(place, run)
    details = tasks.reported(place, run) | {"targets": targets}
    tasks.write(place, picture.export(run, place.asked.name or adapter.id, details))


def _files(place: Setting, name: str, profile: str) -> tuple[ModelFile, ModelFile | None]:
    """A bundle's adapter, and its predictor if it has one."""
    from icmhcodec.adapters import bundles
    from icmhcodec.pipeline.networks import reference_of

    if Path(name).is_dir():
        predictor = Path(name) / "predictor.safetensors"
        adapter, _ = bundles.read(Path(name) / "adapter.safetensors")
        return adapter, bundles.read(predictor)[0] if predictor.exists() else None
    base = reference_of(place.codec)
    found = [bundles.find(kind, name, base, profile) for kind in ("adapter", "predictor")]
    if found[0] is None:
        raise MissingWeightsError(f"{name}: no run's folder, and no {profile} bundle with adapters")
    return found[0][0], found[1][0] if found[1] else None
