"""`icmh train base`: a base codec, from photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from icmhcodec.cli import files, options
from icmhcodec.cli.report import complain
from icmhcodec.cli.train import session
from icmhcodec.errors import UsageError

if TYPE_CHECKING:
    from icmhcodec.training.network import Network
    from icmhcodec.training.photos import Crops
    from icmhcodec.training.recipe import BaseRecipe

path = options.PATH


@click.command()
@click.argument("folder", metavar="PHOTOS", type=path)
@click.option(
    "-o", "--out", metavar="RUN", type=path,
    help="Folder of the run: state, metrics, curves. One that holds a state is gone on with.  "
    "[default: PHOTOS-base, here]",
)  # fmt: skip
@click.option(
    "--recipe", "recipe_name",
    help="cpu, gpu, widen or a TOML file.  [default: widen with --widen, else by the device]",
)  # fmt: skip
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True),
    help="Length of the whole schedule, resumed parts included; instead of the recipe's.",
)  # fmt: skip
@click.option(
    "--init", metavar="FILE|RUN|ID", type=path,
    help="Weights to start from: an exported codec, another run's folder, or a codec that is here.",
)  # fmt: skip
@click.option(
    "--widen", metavar="CHANNELS", type=click.IntRange(1, 1024),
    help="Give the latent of --init so many channels, the new ones fitted on the photos.",
)  # fmt: skip
@click.option(
    "--validate", type=path, help="Folder of pictures to validate on; default: held-out photos."
)
@click.option("--workers", type=click.IntRange(min=0), help="Processes that cut crops.")
@click.option("--cache", type=path, help="Folder for the decoded photos; default: RUN.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1 or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; default: all cores.")
@options.common
def base(
    folder: Path,
    out: Path | None,
    recipe_name: str | None,
    minutes: float | None,
    init: Path | None,
    widen: int | None,
    validate: Path | None,
    workers: int | None,
    cache: Path | None,
    device: str,
    threads: int | None,
) -> None:
    """Train a base codec on the photos of a folder and its subfolders, without labels.

    All qualities are trained at once. The rate decays to zero over the schedule. Ctrl-C saves the
    state, and the same command goes on from it. torchrun starts several processes.

    \b
    icmh train base photos/ -o run/ --minutes 120
    icmh train export run/ --id my-codec-0 -o my-codec-0.safetensors
    icmh train base photos/ -o more/ --init mbt2018-mean-gain-3
    icmh train base photos/ -o wide/ --init my-codec-0.safetensors --widen 320
    """
    files.check_folder(folder)
    out = out or Path(f"{folder.resolve().name}-base")
    if validate is not None:
        files.check_folder(validate)
    init = None if init is None else _located(init)
    if widen is not None and init is None:
        raise UsageError("--widen: name the weights that it widens with --init")
    from icmhcodec.training import machine

    machine.tune()
    import torch

    from icmhcodec.training import base as training
    from icmhcodec.training import evaluate, loop, processes, weights
    from icmhcodec.training import recipe as recipes

    if threads is not None:
        torch.set_num_threads(threads)
    chosen, state = processes.choose_device(device), out / loop.STATE
    resumed = state.exists()
    if resumed:
        stored = loop.read_state(state)
        recipe = recipes.parse(recipes.BaseRecipe, stored["recipe"])
        _refuse_others(out, recipe, stored["about"], recipe_name, init, widen)
    else:
        usual = "widen" if widen else "gpu" if chosen.type == "cuda" else "cpu"
        recipe = recipes.load(recipe_name or usual)
    recipe = recipe if minutes is None else replace(recipe, minutes=minutes, steps=0)
    recipe = recipe if workers is None else replace(recipe, workers=workers)
    pictures = None if validate is None else evaluate.Pictures(validate)
    processes.join(chosen)
    try:
        start = None if init is None or resumed else weights.read(init, recipe)
        if start is not None and widen is not None:
            start = _widened(start, widen, session.cut(recipe, folder, out, cache))
        run = training.Run(recipe, chosen, start)
        if resumed:
            run.load(state)
        else:
            run.about["init"] = "" if init is None else init.name
            if widen is not None:
                run.about["widened"] = str(widen)
        if run.done >= 1:
            raise UsageError(
                f"{out}: its schedule has ended; export it, or give --init {out} to another RUN"
            )
        if processes.rank() == 0:
            complain(f"{out}: the run's folder; the same command goes on with it")
            if run.note:
                complain(f"not compiled, steps take longer: {run.note}")
        check = None if pictures is None else lambda: run.validate_pictures(pictures)
        if session.train(run, folder, out, cache, check):
            click.echo(f"{out}: trained; icmh train export {out} --id NAME -o FILE")
    finally:
        processes.leave()


def _located(init: Path) -> Path:
    """Where weights lie: at a path, or in the file of a codec that is here."""
    if init.exists():
        return init
    from icmhcodec.codecs import registry

    here = dict(registry.available())
    name = registry.ALIASES.get(str(init), str(init))
    if name not in here:
        known = ", ".join(here)
        raise UsageError(f"{init}: no such file or folder, nor a codec that is here ({known})")
    return here[name]


def _widened(start: Network, channels: int, crops: Crops) -> Network:
    """The weights to start from with a wider latent; every process fits the same."""
    from icmhcodec.training import widen

    complain(f"fitting {channels - start.latent_channels} new channels, for some minutes")
    return widen.widen(start, channels, replace(crops, rank=0, processes=1))


def _refuse_others(
    out: Path,
    recipe: BaseRecipe,
    about: Mapping[str, str],
    name: str | None,
    init: Path | None,
    widen: int | None,
) -> None:
    """Refuse a recipe or weights other than those that a run was begun with."""
    from icmhcodec.training import recipe as recipes

    session.refuse_other_start(out, about.get("init", ""), init)
    if widen is not None and str(widen) != about.get("widened"):
        raise UsageError(f"{out} holds a run of {recipe.channels[1]} channels; leave --widen out")
    if name is not None:
        chosen = replace(recipes.load(name), channels=recipe.channels)  # --widen's are the run's
        session.refuse_other_recipe(out, recipe, chosen)
