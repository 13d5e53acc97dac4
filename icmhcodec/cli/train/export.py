"""`icmh train export`: a base codec's file of trained weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from icmhcodec.cli import files, options, tables
from icmhcodec.cli.report import complain

if TYPE_CHECKING:
    from torch import Tensor

    from icmhcodec.training.evaluate import Pictures

QUALITIES = tuple(float(quality) for quality in range(10))
COLUMNS = ("quality", "bpp", "PSNR", "integer stage", "tables", "moved")


@click.command()
@click.argument("trained", type=options.PATH)
@options.output("The codec's file.", required=True)
@click.option("--id", "name", required=True, help="The codec's name, version included.")
@click.option(
    "--skip",
    type=click.IntRange(0, 64),
    help="Default skip index, 0 = off; default: what the run was trained for.",
)
@click.option(
    "--kodak",
    type=options.PATH,
    help="Folder of pictures to measure on: the curve, and what the integer stage costs.",
)
@click.option("--recipe", default="", help="How it was trained; metadata, as those that follow.")
@click.option("--data", default="", help="What it was trained on.")
@click.option("--steps", default="", help="For how many steps.")
@click.option("--metric", default="", help="What it reaches.")
@click.option("--licence", default="", help="Under which terms.")
@options.force
@options.common
def export(
    trained: Path,
    output: Path,
    name: str,
    skip: int | None,
    kodak: Path | None,
    force: bool,
    **about: str,
) -> None:
    """Make a base codec's file of trained weights.

    TRAINED is the folder of a run, whose averaged weights are taken, or a safetensors file of the
    training's tensors. Kernels are rounded to float16; tables and integer networks are made from
    the rounded ones, and no input overflows them. A run's metadata are written by themselves.

    \b
    icmh train export run/ --id my-codec-0 -o my-codec-0.safetensors --kodak kodak/
    icmh models add my-codec-0.safetensors
    icmh encode photo.jpg --base my-codec-0
    """
    if trained.is_dir():
        files.check_source(trained / "state.pt")
    else:
        files.check_source(trained)
    files.check_target(output, [trained], force=force)
    if kodak is not None:
        files.check_folder(kodak)

    from icmhcodec.codecs.export import export_base
    from icmhcodec.training import evaluate, weights

    pictures = None if kodak is None else evaluate.Pictures(kodak)
    tensors, provenance = weights.read_trained(trained)
    trained_skip = int(provenance.pop("skip", "0"))
    metadata = provenance | {key: value for key, value in about.items() if value}
    export_base(tensors, name, about | metadata, output, trained_skip if skip is None else skip)
    if pictures is not None:
        _measure(output, tensors, pictures)
    click.echo(f"{output}: written; icmh models add {output}")


def _measure(output: Path, tensors: Mapping[str, Tensor], pictures: Pictures) -> None:
    """Measure an exported file, show the figures and add them to its metadata."""
    from icmhcodec import modelfile
    from icmhcodec.codecs.hyperprior import Hyperprior
    from icmhcodec.training import evaluate, network

    model = modelfile.read(output)
    complain(f"measuring {len(pictures.paths)} pictures at {len(QUALITIES)} qualities")
    floating = network.from_tensors(tensors)
    points = evaluate.exported(Hyperprior(model), floating, pictures, QUALITIES)
    tables.print_table(
        COLUMNS,
        [
            (
                f"{p.quality:g}", f"{p.bpp:.4f}", f"{p.psnr:.3f} dB",
                f"{p.integer_stage_percent:+.4f} %", f"{p.tables_percent:+.3f} %",
                f"{p.moved_percent:.3f} %",
            )
            for p in points
        ],
    )  # fmt: skip
    curve = [{key: round(value, 5) for key, value in asdict(p).items()} for p in points]
    extra = {"measured_on": pictures.folder.resolve().name, "curve": json.dumps(curve)}
    modelfile.write(output, replace(model, metadata={**model.metadata, **extra}))
