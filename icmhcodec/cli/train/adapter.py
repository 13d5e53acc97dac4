"""`icmh train adapter`: a task's bundle on a frozen base codec."""

from __future__ import annotations

from pathlib import Path

import click

from icmhcodec.cli import files, options
from icmhcodec.cli.train import session
from icmhcodec.errors import UsageError

STATE = "state.pt"


@click.command()
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
    from icmhcodec.training import machine

    machine.tune()
    import torch

    from icmhcodec import modelfile
    from icmhcodec.pipeline.networks import Networks
    from icmhcodec.tasks.contract import load_network
    from icmhcodec.training import adapter as training

    if threads is not None:
        torch.set_num_threads(threads)
    networks = Networks(device, precision)
    recognition = load_network(task, network).to(networks.device)
    codec = networks.base(base, networks.dtype(0))
    run = training.Run(codec, training.Recipe(minutes=minutes), recognition.features)
    if resume:
        run.load(state)
    session.train(run, data, out)
    details = {"data": data.name, "licence": licence}
    for model in training.export(run, task, name or f"{task}-0", details):
        path = out / f"{model.kind}.safetensors"
        modelfile.write(path, model)
        click.echo(f"{path}: written; icmh models add {path}")
