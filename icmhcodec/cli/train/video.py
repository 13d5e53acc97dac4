"""`icmh train video`: a codec of P frames, or a task's layers on one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from icmhcodec.cli import files, options
from icmhcodec.cli.report import complain
from icmhcodec.cli.train import session
from icmhcodec.errors import MissingWeightsError, UsageError

if TYPE_CHECKING:
    import torch

    from icmhcodec.modelfile import ModelFile
    from icmhcodec.training import video as video_training
    from icmhcodec.training import video_task
    from icmhcodec.training.recipe import Recipe
    from icmhcodec.training.video import VideoRecipe
    from icmhcodec.training.video_clips import Sequences
    from icmhcodec.training.video_task import VideoTaskRecipe

path = options.PATH


@click.command("video")
@click.argument("folder", metavar="CLIPS", type=path)
@click.option(
    "-o", "--out", metavar="RUN", type=path, required=True,
    help="Folder of the run: state, metrics, curves, and at the end the weights.",
)  # fmt: skip
@click.option("--id", "name", required=True, help="The codec's or bundle's id, version included.")
@click.option("--photos", "stills", type=path, help="Folder of photos, which are made to move.")
@click.option(
    "--recipe", "recipe_name", help="cpu, gpu, fvc or a TOML file; default: by the device."
)
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True),
    help="Length of the whole schedule, resumed parts included; instead of the recipe's.",
)  # fmt: skip
@click.option("--base", default="mbt2018-mean-gain", show_default=True, help="Codec of I frames.")
@click.option("--init", metavar="FILE|ID", help="A video codec whose weights it starts from.")
@click.option("--task", "task_name", metavar="NAME", help="Train a task's layers, such as det.")
@click.option(
    "--start", metavar="RUN|BUNDLE",
    help="For --task: another run's folder, or a bundle's id, whose weights it starts from.",
)  # fmt: skip
@click.option("--codec", default="dvc", show_default=True, help="Codec of P frames, for --task.")
@click.option("--network", type=path, help="File of the task's network's weights.")
@click.option("--export", "only_export", is_flag=True, help="Write the weights as they are now.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that cut crops.")
@click.option("--cache", type=path, help="Folder for decoded clips and photos; default: RUN.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1 or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; default: all cores.")
@click.option("--licence", default="", help="Written into the weights' metadata.")
@options.common
def command(
    folder: Path,
    out: Path,
    name: str,
    stills: Path | None,
    recipe_name: str | None,
    minutes: float | None,
    base: str,
    init: str | None,
    task_name: str | None,
    start: str | None,
    codec: str,
    network: Path | None,
    only_export: bool,
    workers: int | None,
    cache: Path | None,
    device: str,
    threads: int | None,
    licence: str,
) -> None:
    """Train a codec of P frames on clips: video files, or folders of frames (DAVIS's layout).

    All qualities are trained at once. With --task it is that task's mask predictors and adapter on
    a codec that is here. Ctrl-C saves the state, and the same command goes on from it.

    \b
    icmh train video clips/ --photos photos/ -o run/ --id dvc-1 --minutes 240
    icmh models add run/dvc-1.safetensors
    icmh train video clips/ --task det -o det-run/ --id det-video-1
    icmh train video clips/ --task det -o more/ --id det-video-2 --start det-video-1
    """
    files.check_folder(folder)
    if stills is not None:
        files.check_folder(stills)
    if only_export and not (out / "state.pt").exists():
        raise UsageError(f"{out}: no state of a training here to export")
    if init is not None and task_name is not None:
        raise UsageError("--init is for a codec; a task's layers take --start")
    if start is not None and task_name is None:
        raise UsageError("--start is for a task's layers; a codec takes --init")
    from icmhcodec.training import machine

    machine.tune()
    import torch

    from icmhcodec import modelfile
    from icmhcodec.training import loop, processes, video, video_task

    if threads is not None:
        torch.set_num_threads(threads)
    place, state = processes.choose_device(device), out / loop.STATE
    named, chosen = bool(recipe_name), recipe_name or ("gpu" if place.type == "cuda" else "cpu")
    run: video.Run | video_task.Run
    if task_name is None:
        recipe = _recipe(video.VideoRecipe, video.FOLDER, chosen, named, state, minutes, workers)
        run = _codec_run(recipe, base, place)
    else:
        kind = video_task.VideoTaskRecipe
        task_recipe = _recipe(kind, video_task.FOLDER, chosen, named, state, minutes, workers)
        run = _task_run(task_recipe, base, codec, task_name, network, place)
    if state.exists():
        run.load(state)
        for option, given in (("init", init), ("start", start)):
            path_given = None if given is None else Path(given)
            session.refuse_other_start(out, run.about.get(option, ""), path_given, f"--{option}")
    elif start is not None:
        assert isinstance(run, video_task.Run)  # or there is no task
        _start_with(run, start)
    elif init is not None:
        assert isinstance(run, video.Run)  # or there is a task
        run.about["init"] = Path(init).name
        _begin_with(run, init)
    if not only_export:
        if run.done >= 1:
            raise UsageError(f"{out}: its schedule has ended; write its weights with --export")
        complain(f"{out}: the run's folder; the same command goes on with it")
        crops, said = _sequences(run.recipe, folder, stills, cache or out)
        run.about |= {"data": folder.resolve().name, "clips": said}
        session.train_on(run, crops, out, said)
    details = {"licence": licence} if licence else {}
    for model in _models(run, task_name, name, details):
        part = "" if model.kind == "video" else f".{model.kind}"
        target = out / f"{name}{part}.safetensors"
        modelfile.write(target, model)
        click.echo(f"{target}: written; icmh models add {target}")


R = TypeVar("R", bound="Recipe")


def _recipe(
    kind: type[R], packaged: Path, name: str, named: bool, state: Path, minutes: float | None,
    workers: int | None,
) -> R:  # fmt: skip
    """The recipe of that name, or that of a run that goes on, with what was given beside it.

    UsageError where it was named and a run that goes on has another recipe.
    """
    from icmhcodec.training import loop
    from icmhcodec.training import recipe as recipes

    if state.exists():
        recipe = recipes.parse(kind, loop.read_state(state)["recipe"])
        if named:
            session.refuse_other_recipe(state.parent, recipe, recipes.load_as(kind, name, packaged))
    else:
        recipe = recipes.load_as(kind, name, packaged)
    recipe = recipe if minutes is None else replace(recipe, minutes=minutes, steps=0)
    return recipe if workers is None else replace(recipe, workers=workers)


def _codec_run(recipe: VideoRecipe, base: str, device: torch.device) -> video_training.Run:
    from icmhcodec import modelfile
    from icmhcodec.codecs import registry
    from icmhcodec.training import network
    from icmhcodec.training import video as training

    here = dict(registry.available())
    codec_id = registry.resolve(base)
    if codec_id not in here:
        raise UsageError(f"{base}: its weights are not here")
    model = modelfile.read(here[codec_id])
    intra = network.from_tensors(model.tensors)
    return training.Run(recipe, device, intra, base=model.metadata["fingerprint"])


def _begin_with(run: video_training.Run, name: str) -> None:
    """Give a run the weights of a video codec: of a file, or of one that is here."""
    from icmhcodec import modelfile
    from icmhcodec.codecs.video import contract, registry
    from icmhcodec.training import loop, video_network

    path = Path(name)
    model = modelfile.read(path if path.exists() else registry.resolve(name))
    if contract.architecture(model) != run.recipe.architecture:
        raise UsageError(f"{name}: not a codec of the recipe's kind, {run.recipe.architecture}")
    fit = loop.begin_with(run, video_network.of_exported(model), name)
    complain(f"{name}: {fit} of {len(run.trained.state_dict())} tensors are its start")


def _start_with(run: video_task.Run, name: str) -> None:
    """Give a run the weights of another one, or of a bundle that is here."""
    from icmhcodec.container import Reference
    from icmhcodec.training import loop, video_task

    codec = Reference(run.codec.id, run.codec.fingerprint)
    weights, licence = video_task.start_with(name, codec)
    fit = loop.begin_with(run, weights, name)
    run.settle()
    complain(f"{name}: {fit} of {len(run.trained.state_dict())} tensors begin as its own")
    run.about["start"] = Path(name).name
    if licence:
        complain(f"{name}: what comes out inherits its licence ({licence})")
        run.about["start_licence"] = licence


def _task_run(
    recipe: VideoTaskRecipe, base: str, codec: str, task: str, weights: Path | None,
    device: torch.device,
) -> video_task.Run:  # fmt: skip
    import torch

    from icmhcodec.adapters import bundles
    from icmhcodec.codecs import registry
    from icmhcodec.codecs.video import registry as video_registry
    from icmhcodec.masks import kinds
    from icmhcodec.pipeline.networks import reference_of
    from icmhcodec.tasks.contract import load_network
    from icmhcodec.training import video_task as training

    dtype = torch.bfloat16 if recipe.bfloat16 else torch.float32
    intra = registry.load(base, device, dtype)
    found = bundles.find("predictor", task, reference_of(intra), "scalable")
    if found is None:
        raise MissingWeightsError(
            f"task '{task}': no bundle for {intra.id} is here, which codes the first frames; "
            "train one with 'icmh train adapter'"
        )
    recognition = load_network(task, weights).to(device)
    return training.Run(
        video_registry.load(codec, device, dtype),
        intra,
        kinds.load(found[0].tensors, device),
        recipe,
        recognition.features,
        recognition.side,
    )


def _sequences(
    recipe: VideoRecipe | VideoTaskRecipe, folder: Path, stills: Path | None, cache: Path
) -> tuple[Sequences, str]:
    """What to train on, and what it is in words."""
    from icmhcodec.training import photos, video_clips

    clips = video_clips.load(folder, recipe.crop, cache)
    found = None if stills is None else photos.load(stills, recipe.crop, cache)
    said = f"{len(clips.training)} clips, {len(clips.held_out)} held out"
    said += "" if found is None else f", {len(found.training)} photos"
    crops = video_clips.Sequences(
        clips, found, recipe.crop, recipe.batch, recipe.length, recipe.synthetic,
        recipe.scales, recipe.mirror, recipe.seed,
    )  # fmt: skip
    return crops, said


def _models(
    run: video_training.Run | video_task.Run, task: str | None, name: str, details: dict[str, str]
) -> list[ModelFile]:
    from icmhcodec.training import video as training
    from icmhcodec.training import video_task

    if isinstance(run, training.Run):
        return [training.export(run, name, details)]
    assert task is not None  # or it would be a codec's run
    return video_task.export(run, task, name, details)
