"""`icmh models`: the base codecs, predictors and adapters that are here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from icmhcodec.cli import files, options, tables
from icmhcodec.cli.report import help_if_alone
from icmhcodec.errors import FormatError, MissingWeightsError

if TYPE_CHECKING:
    from icmhcodec.modelfile import ModelFile

COLUMNS = ("id", "kind", "task", "base", "profile", "fingerprint", "from")


@click.group(invoke_without_command=True, short_help="List and check codecs and bundles; add more.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List and check base codecs and trained bundles; add and remove them.

    A predictor says which symbols a task's layer holds: without it the file does not decode. An
    adapter suits the decoded picture to the task. Each is one file of weights with metadata.
    """
    help_if_alone(ctx)


@command.command("list")
@options.as_json
@options.common
def list_(as_json: bool) -> None:
    """List what the package has, what was downloaded and what was added."""
    rows = [_summary(path) for path in _paths()]
    if as_json:
        for row in rows:
            tables.print_json(row)
        return
    tables.print_table(COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
    from icmhcodec.codecs import registry

    here = {row["id"] for row in rows}
    others = [name for name in registry.names() if name not in here]
    usual = (f"{name} is {codec_id}" for name, codec_id in registry.ALIASES.items())
    click.echo(f"taken by default: {', '.join(usual)}, and of clips the newest dvc")
    if others:
        click.echo(f"downloaded when first used: {', '.join(others)}")


@command.command()
@click.argument("name", metavar="ID")
@options.as_json
@options.common
def show(name: str, as_json: bool) -> None:
    """Show what a model says of itself: training, data, metric, licence.

    ID is an id, a task or a fingerprint, or what --base and --inter take by default.
    """
    from icmhcodec import modelfile

    for path in _named(name):
        row = {**_summary(path), **modelfile.read(path).metadata, "file": str(path)}
        if as_json:
            tables.print_json(row)
        else:
            tables.print_table(("key", "value"), [pair for pair in row.items() if pair[1]])


@command.command()
@click.argument("names", metavar="[ID]...", nargs=-1)
@options.common
def verify(names: tuple[str, ...]) -> None:
    """Check that models load, and bundles fit the base codec that is here; by default all."""
    for path in [path for name in names for path in _named(name)] if names else _paths():
        summary = _summary(path)
        with files.blamed(path):
            _check(path, summary["fingerprint"])
        click.echo(f"{summary['id']} {summary['kind']}: sound")


@command.command()
@click.argument("file", metavar="FILE", type=options.PATH)
@options.common
def add(file: Path) -> None:
    """Add a codec's or a bundle's file, or a checkpoint (.pth.tar) of CompressAI's zoo."""
    from icmhcodec import modelfile
    from icmhcodec.adapters import bundles
    from icmhcodec.codecs import registry, weights, zoo
    from icmhcodec.codecs.video import contract
    from icmhcodec.codecs.video import registry as video

    files.check_source(file)
    zipped = file.name.endswith(zoo.SUFFIX)
    kind = weights.KIND if zipped else modelfile.read(file).kind
    adders = {weights.KIND: registry.add, contract.KIND: video.add}
    reference = adders.get(kind, bundles.add)(file)
    click.echo(f"{reference.id} {reference.fingerprint.hex()}: added")


@command.command()
@click.argument("name", metavar="ID")
@options.common
def remove(name: str) -> None:
    """Remove what was added, by its id or fingerprint; the package's own stay."""
    from icmhcodec.adapters import bundles
    from icmhcodec.codecs import registry
    from icmhcodec.codecs.video import registry as video

    for path in registry.remove(name) or video.remove(name) or bundles.remove(name):
        click.echo(f"{path}: removed")


def _paths() -> Iterator[Path]:
    from icmhcodec.adapters import bundles
    from icmhcodec.codecs import registry
    from icmhcodec.codecs.video import registry as video

    yield from (path for _, path in registry.available())
    yield from (path for path, _ in video.available())
    yield from (path for path, _ in bundles.available())


def _named(name: str) -> list[Path]:
    from icmhcodec.codecs import registry
    from icmhcodec.codecs.video import registry as video

    if name in video.ARCHITECTURES:  # which stands for the newest of its kind
        return [video.resolve(name)]
    name = registry.ALIASES.get(name, name)
    found = [p for p in _paths() if name in (_summary(p)[k] for k in ("id", "task", "fingerprint"))]
    if not found:
        raise MissingWeightsError(f"{name}: no such model is here; icmh models list shows them")
    return found


def _summary(path: Path) -> dict[str, str]:
    from icmhcodec import modelfile
    from icmhcodec.adapters import bundles
    from icmhcodec.codecs import weights
    from icmhcodec.codecs.video import contract

    model = modelfile.read(path)
    codecs = {weights.KIND: weights.fingerprint, contract.KIND: contract.fingerprint}
    fingerprint = codecs.get(model.kind, modelfile.fingerprint)
    profile = "" if model.kind in codecs else model.metadata.get("profile", "scalable")
    return {
        "id": model.id,
        "kind": model.kind,
        "task": model.metadata.get("task", ""),
        "base": model.metadata.get("base", ""),
        "profile": profile,
        "fingerprint": fingerprint(model.tensors).hex(),
        "from": "package" if path.parent == bundles.PACKAGED else "user",
    }


def _check(path: Path, fingerprint: str) -> None:
    """Build the networks; FormatError where the tensors are not those of a model."""
    from icmhcodec import modelfile
    from icmhcodec.adapters import bundles, kinds, picture
    from icmhcodec.codecs import registry, weights
    from icmhcodec.codecs.architectures import build
    from icmhcodec.codecs.video import contract
    from icmhcodec.codecs.video import registry as video
    from icmhcodec.masks import kinds as predictors

    model = modelfile.read(path)
    if model.kind in (weights.KIND, contract.KIND):
        (build if model.kind == weights.KIND else video.build)(model)
        if model.metadata.get("fingerprint") != fingerprint:
            raise FormatError("its tensors are not those that were exported; fetch it again")
        return
    if path.parent != bundles.PACKAGED and fingerprint not in path.stem:
        raise FormatError("its tensors are not those that were added; remove it and add it again")
    if any(model.metadata["base"] == metadata["id"] for _, metadata in video.available()):
        _check_video(model)
        return
    base = registry.load(model.metadata["base"])
    if base.fingerprint.hex() != model.metadata["base_fingerprint"]:
        raise MissingWeightsError(f"it was trained on other weights of {base.id}; train it again")
    if model.kind == "predictor":
        predictors.load(model.tensors)
    else:
        kinds.load_stages(model.tensors, "encoder", len(base.encoder_channels))
        kinds.load_stages(model.tensors, "decoder", len(base.decoder_channels))
        picture.load_task_adapter(model.tensors)


def _check_video(model: ModelFile) -> None:
    """Build a bundle's networks on a video codec."""
    from icmhcodec.adapters import video as adapters
    from icmhcodec.codecs.video import registry
    from icmhcodec.masks import video as masks

    base = registry.load(model.metadata["base"])
    if base.fingerprint.hex() != model.metadata["base_fingerprint"]:
        raise MissingWeightsError(f"it was trained on other weights of {base.id}; train it again")
    if model.kind == "predictor":
        masks.load(model.tensors)
    else:
        adapters.load_video_adapter(model.tensors)
