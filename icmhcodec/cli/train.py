"""`icmh train`: train a task's bundle, and export weights to the exact stage."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from icmhcodec.cli import files, options
from icmhcodec.cli.report import complain, help_if_alone
from icmhcodec.errors import FormatError, UsageError

if TYPE_CHECKING:
    from icmhcodec.training.adapter import Progress

STATE = "state.pt"


@click.group(invoke_without_command=True, short_help="Train bundles; export weights.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Train a task's bundle on a frozen base codec; export weights to the exact stage."""
    help_if_alone(ctx)


@command.command()
@click.option("--task", required=True, metavar="NAME", help="The task, such as det.")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of photos, without labels, searched with its subfolders.",
)
@click.option(
    "--minutes",
    required=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Length of the whole training, resumed parts included.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for the state and, at the end, the bundle's two files.",
)
@click.option("--id", "name", help="The bundle's id; default: NAME-0.")
@click.option("--base", default="mbt2018-mean-gain", show_default=True, help="Base codec.")
@click.option(
    "--network",
    type=click.Path(path_type=Path),
    help="Weights of the recognition network; default: where they are found.",
)
@click.option("--resume", is_flag=True, help="Go on from the state in the output folder.")
@click.option("--licence", default="", help="Written into the bundle's metadata.")
@options.machine
@options.common
def adapter(
    task: str,
    data: Path,
    minutes: float,
    out: Path,
    name: str | None,
    base: str,
    network: Path | None,
    resume: bool,
    licence: str,
    device: str,
    threads: int | None,
    precision: str,
) -> None:
    """Train the mask predictor and the decoder's adapters of a task.

    The rate decays to zero over --minutes. Ctrl-C saves the state; --resume goes on from it.

    \b
    icmh train adapter --task det --data photos/ --minutes 60 --out det-1/
    icmh models add det-1/predictor.safetensors
    """
    files.check_folder(data)
    state = out / STATE
    if resume and not state.exists():
        raise UsageError(f"{state}: no state to resume; start without --resume")
    if state.exists() and not resume:
        raise UsageError(f"{state} exists; --resume goes on from it, another --out starts anew")

    import torch

    from icmhcodec import modelfile
    from icmhcodec.pipeline.networks import Networks
    from icmhcodec.tasks.contract import load_network
    from icmhcodec.training import adapter as training

    if threads is not None:
        torch.set_num_threads(threads)
    networks = Networks(device, precision)
    run = training.Run(networks.base(base, networks.dtype(0)), training.Recipe(minutes=minutes))
    if resume:
        run.load(state)
    recognition = load_network(task, network).to(networks.device)
    out.mkdir(parents=True, exist_ok=True)
    with _progress() as report, _stop_on_interrupt() as stopped:
        training.train(run, recognition.features, data, state, report, stopped)
    if run.done < 1:
        complain(f"stopped at {run.done:.0%}, {state} is saved; --resume goes on")
        raise click.exceptions.Exit(130)
    details = {"data": data.name, "licence": licence}
    for model in training.export(run, task, name or f"{task}-0", details):
        path = out / f"{model.kind}.safetensors"
        modelfile.write(path, model)
        click.echo(f"{path}: written; icmh models add {path}")


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Let a step end before Ctrl-C or SIGTERM does; the second one interrupts at once."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(progress: Progress) -> str:
    held_out = "" if progress.held_out is None else f"  held out {progress.held_out:.4f}"
    return (
        f"step {progress.steps}  {progress.bpp:.3f} bpp  distortion {progress.distortion:.4f}"
        f"  fill {progress.fill:.0%}{held_out}"
    )


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Show a bar on a terminal, and elsewhere a line per report."""
    if not sys.stderr.isatty():
        yield lambda p: click.echo(
            f"{p.done:4.0%}  {_line(p)}  {p.seconds_left / 60:.1f} min left", err=True
        )
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.percentage:3.0f} %"), BarColumn(), TextColumn("{task.description}")
    with Bar(*columns, TextColumn("{task.fields[left]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=1.0, left="")

        def report(p: Progress) -> None:
            left = f"{p.seconds_left / 60:.1f} min left"
            bar.update(task, completed=p.done, description=_line(p), left=left)

        yield report


@command.command()
@click.argument("trained", type=click.Path(path_type=Path))
@options.output("The codec's file.", required=True)
@click.option("--id", "name", required=True, help="The codec's name, version included.")
@click.option(
    "--skip",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Default skip index, 0 = off.",
)
@click.option("--recipe", default="", help="How it was trained; metadata, as those that follow.")
@click.option("--data", default="", help="What it was trained on.")
@click.option("--steps", default="", help="For how many steps.")
@click.option("--metric", default="", help="What it reaches.")
@click.option("--licence", default="", help="Under which terms.")
@options.force
@options.common
def export(trained: Path, output: Path, name: str, skip: int, force: bool, **about: str) -> None:
    """Make a base codec's file of trained weights.

    TRAINED holds the tensors of the training tool, as safetensors. Kernels are rounded to
    float16; tables and integer networks are made from the rounded ones.

    \b
    icmh train export trained.safetensors --id mbt2018-mean-gain-1 -o base.safetensors
    """
    files.check_source(trained)
    files.check_target(output, [trained], force=force)

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from icmhcodec.codecs.export import export_base

    try:
        tensors = load_file(trained)
    except SafetensorError as error:
        raise FormatError(f"{trained}: not a readable safetensors file ({error})") from error
    export_base(tensors, name, about, output, skip)
    click.echo(f"{output}: written")
