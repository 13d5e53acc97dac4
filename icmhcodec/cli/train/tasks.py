"""What the commands that train for a recognition network share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from icmhcodec.cli import files, options, tables
from icmhcodec.cli.report import complain
from icmhcodec.cli.train import session
from icmhcodec.errors import UsageError

if TYPE_CHECKING:
    from icmhcodec.codecs.contract import BaseCodec
    from icmhcodec.modelfile import ModelFile
    from icmhcodec.tasks.contract import RecognitionNetwork
    from icmhcodec.training.adapter import Start
    from icmhcodec.training.loop import Run
    from icmhcodec.training.recipe import Recipe
    from icmhcodec.training.task import Report, TaskRun

path = options.PATH
F = TypeVar("F", bound=Callable[..., Any])
COLUMNS = ("quality", "bpp before", "after", "features before", "after")
# Of a recipe, what may change when a run goes on, what comes from the base codec or a start.
FREE = ("minutes", "steps", "workers", "skip", "channels", "alone")


@dataclass(frozen=True)
class Asked:
    """What every such command is asked for."""

    folder: Path
    out: Path | None
    task: str | None
    network: str | None
    base: str
    recipe_name: str | None
    minutes: float | None
    name: str | None
    licence: str
    workers: int | None
    cache: Path | None
    device: str
    threads: int | None


_OPTIONS = (
    click.argument("folder", metavar="PHOTOS", type=path),
    click.option(
        "-o", "--out", metavar="RUN", type=path,
        help="Folder of the run: state, metrics, curves, and at the end its files. One that holds "
        "a state is gone on with.  [default: PHOTOS-TASK-..., here]",
    ),
    click.option("--task", metavar="NAME", help="The layer's task.  [default: the network's]"),
    click.option(
        "--network", metavar="NAME|FILE",
        help="The recognition network: a known name, a .toml that describes one, or the weights "
        "of the task's own.  [default: the task's]",
    ),
    click.option("--base", default="mbt2018-mean-gain", show_default=True, help="Base codec."),
    click.option("--recipe", "recipe_name", help="One of the package's, or a TOML file."),
    click.option(
        "--minutes", type=click.FloatRange(min=0, min_open=True),
        help="Length of the whole schedule, resumed parts included; instead of the recipe's.",
    ),
    click.option("--id", "name", help="The id of what is trained.  [default: TASK-0]"),
    click.option("--licence", default="", help="Written into the metadata."),
    click.option("--workers", type=click.IntRange(min=0), help="Processes that cut crops."),
    click.option("--cache", type=path, help="Folder for the decoded photos; default: RUN."),
    click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1 or auto."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads; default: all cores."),
)  # fmt: skip


def asking(function: F) -> F:
    """Add the options of `Asked`, whose values the command gives to `asked`."""
    function = options.common(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def asked(values: dict[str, Any]) -> Asked:
    """Take a command's values; UsageError where there are no photos or no network is named."""
    given = Asked(**{field.name: values[field.name] for field in fields(Asked)})
    files.check_folder(given.folder)
    if given.task is None and given.network is None:
        raise UsageError("name the task (--task det) or the network (--network my.toml)")
    return given


@dataclass(frozen=True)
class Setting:
    """What such a training stands on."""

    asked: Asked
    out: Path
    task: str
    network: RecognitionNetwork[Any]
    codec: BaseCodec

    @property
    def id(self) -> str:
        """Id of what is trained."""
        return self.asked.name or f"{self.task}-0"

    @property
    def network_name(self) -> str:
        """Name and fingerprint of the network."""
        return f"{self.network.name} {self.network.fingerprint}"


def setting(given: Asked, what: str) -> Setting:
    """Load network and base codec; the run's folder is by default called after `what` it trains."""
    from icmhcodec.training import machine

    machine.tune()
    import torch

    from icmhcodec.container import valid_name
    from icmhcodec.pipeline.networks import Networks
    from icmhcodec.training import processes

    if given.threads is not None:
        torch.set_num_threads(given.threads)
    networks = Networks(str(processes.choose_device(given.device)), "auto")
    network = _network(given).to(networks.device)
    task = given.task or network.task
    for name in (task, given.name or f"{task}-0"):
        if not valid_name(name):
            raise UsageError(f"{name!r} is no name: a letter, then letters a-z, 0-9, . and -")
    out = given.out or Path(f"{given.folder.resolve().name}-{task}-{what}")
    complain(f"{out}: the run's folder; the same command goes on with it")
    return Setting(given, out, task, network, networks.base(given.base, networks.dtype(0)))


def _network(given: Asked) -> RecognitionNetwork[Any]:
    from icmhcodec.tasks.contract import NETWORKS, load_network

    if given.network is None:
        return load_network(given.task or "")
    if given.network.endswith(".toml") or given.network in NETWORKS or given.task is None:
        return load_network(given.network)
    return load_network(given.task, given.network)


R = TypeVar("R", bound="Recipe")


def recipe(place: Setting, kind: type[R], default: str, values: Mapping[str, Any]) -> R:
    """The recipe that is asked for, with values that are not None in place of its own.

    Of a run that goes on, its own; UsageError where other things are asked for than it began with.
    """
    from icmhcodec.training import loop
    from icmhcodec.training import recipe as recipes

    folder = recipes.FOLDER / "tasks"
    given = place.asked
    own = {name: value for name, value in values.items() if value is not None}
    chosen = recipes.load_as(kind, given.recipe_name or default, folder)
    wanted = recipes.parse(kind, {**_shown(chosen), **own})
    if begun(place):
        stored = loop.read_state(place.out / loop.STATE)
        before = recipes.parse(kind, stored["recipe"])
        free = {name: getattr(before, name) for name in FREE if hasattr(before, name)}
        if (own or given.recipe_name) and replace(wanted, **free) != before:
            raise UsageError(f"{place.out} holds a run of another recipe; take another folder (-o)")
        if stored["about"].get("network") != place.network_name:
            raise UsageError(f"{place.out} holds a run for another network; take another folder")
        wanted = before
    if given.minutes is not None:
        wanted = replace(wanted, minutes=given.minutes, steps=0)
    return wanted if given.workers is None else replace(wanted, workers=given.workers)


def _shown(recipe: Recipe) -> dict[str, Any]:
    return {field.name: getattr(recipe, field.name) for field in fields(recipe)}


def begun(place: Setting) -> bool:
    """Whether the run's folder holds a state, which is gone on with."""
    from icmhcodec.training import loop

    return (place.out / loop.STATE).exists()


def train(place: Setting, run: Run, start: Start | None = None) -> None:
    """Train to the end: from the state in the folder, from others' weights, or anew."""
    from icmhcodec.training import loop

    if begun(place):
        run.load(place.out / loop.STATE)
    elif start:
        _begin(run, start, place.codec.latent_channels)
    run.about["network"] = place.network_name
    if run.done < 1:
        session.train(run, place.asked.folder, place.out, place.asked.cache)


def _begin(run: Run, start: Start, channels: int) -> None:
    from icmhcodec.training import loop

    weights = start.fitting(getattr(run.recipe, "predictor", ""), channels)
    count = loop.begin_with(run, weights, start.name)
    complain(f"{start.name}: {count} of {len(run.trained.state_dict())} tensors begin as its own")
    run.about["start"] = start.name
    if start.licence:
        complain(f"{start.name}: what comes out inherits its licence ({start.licence})")
        run.about["start_licence"] = start.licence


def reported(place: Setting, run: TaskRun) -> dict[str, str]:
    """Show what the held-out crops gained; metadata that say so."""
    from icmhcodec.training import loop, photos

    given, crop = place.asked, run.recipe.crop
    found = photos.load(given.folder, crop, given.cache or place.out, but=place.out / CURVES)
    held_out = photos.Crops(found, crop, run.recipe.batch).held_out(loop.VALIDATION_CROPS)
    report = run.report(held_out)
    _show(report, len(held_out))
    return {"licence": given.licence, "held_out_report": report.as_json()}


CURVES = "curves.png"


def _show(report: Report, crops: int) -> None:
    pairs = zip(report.before, report.after, strict=True)
    rows = [
        (f"{a.quality:g}", f"{a.bpp:.4f}", f"{b.bpp:.4f}", f"{a.psnr:.2f} dB", f"{b.psnr:.2f} dB")
        for a, b in pairs
    ]
    tables.print_table(COLUMNS, rows)
    lines = [f"{crops} held-out crops: loss {report.loss_before:.4f} to {report.loss_after:.4f}"]
    if report.distortion_at_equal_bpp is not None:
        lines.append(f"distortion of features at equal bpp {report.distortion_at_equal_bpp:+.1f} %")
    if report.bits_at_equal_distortion is not None:
        lines.append(f"bits at equal distortion {report.bits_at_equal_distortion:+.1f} %")
    click.echo("; ".join(lines))


def write(place: Setting, models: Sequence[ModelFile]) -> None:
    """Write a bundle's files into the run's folder, and say how they are used."""
    from icmhcodec import modelfile

    for model in models:
        target = place.out / f"{model.kind}.safetensors"
        modelfile.write(target, model)
        click.echo(f"{target}: written; icmh models add {target}")
