"""`icmh info`: what is in files, where it stands and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from icmhcodec.cli import batch, files, options, tables, video
from icmhcodec.cli.files import Job
from icmhcodec.errors import FormatError

COSTS = ("part", ">offset", ">bytes", ">share", ">bpp", ">fill", ">to fetch")
MAKERS = ("part", "made with")


@click.command(short_help="Show what is in .icm files.")
@options.inputs
@options.as_json
@options.common
def command(inputs: tuple[Path, ...], as_json: bool) -> int:
    """Show what is in .icm files: layers, where they stand, what each costs.

    Neither decodes nor needs weights. Bytes are those of the file, chunk frames included; fill is
    the share of the latent's coded elements that a layer holds; to fetch are the bytes that a
    decoder for the layer must have, in a file of one latent those up to its end. "Not here" are
    predictors and adapters that this computer has not: without the one nothing decodes from there
    on, without the other a picture that is not fitted to its task. Of a clip it is what the layers
    of all frames cost together, and which latents they are of.

    \b
    icmh info photo.icm
    icmh info --json photo.icm | jq '.layers[0].end'
    """
    jobs = [Job(source, files.STREAM) for source in files.expand(inputs, [".icm"])]

    def start() -> Callable[[Job], None]:
        def work(job: Job) -> None:
            if video.is_sequence(job.source):
                video.info(job.source, as_json=as_json)
                return
            from icmhcodec.pipeline.info import info

            data = files.read_icm(job.source)
            try:
                found = info(data)
            except FormatError:
                found = info(data, partial=True)
            if as_json:
                tables.print_json({"file": str(job.source), **found})
            else:
                _print(files.name(job.source), found)
            if found["damage"]:
                raise FormatError("; ".join(found["damage"]))

        return work

    return batch.run(None, jobs, lambda job: files.check_source(job.source), start)


def _print(name: str, found: dict[str, Any]) -> None:
    columns, rows = found["tiles"]["columns"], found["tiles"]["rows"]
    tiles = f" in {columns}x{rows} tiles" if columns * rows > 1 else ""
    click.echo(
        f"{name}: {found['width']}x{found['height']} {found['channels']}{tiles}, "
        f"{found['profile']}, {found['bytes']:,} bytes, {found['bpp']:.4f} bpp"
    )
    layers = {layer["offset"]: layer for layer in found["layers"] if layer["present"]}
    tables.print_table(COSTS, [_cost(found, chunk, layers) for chunk in found["chunks"]])
    click.echo()
    tables.print_table(MAKERS, _makers(found, layers))
    click.echo()
    if found["overhead"] is not None:
        click.echo(f"header and frames: {found['overhead']} bytes")
    if found["missing"]:
        click.echo(f"not in this part: {', '.join(found['missing'])}")


Layers = dict[int, dict[str, Any]]  # those that are here, by their offsets


def _cost(found: dict[str, Any], chunk: dict[str, Any], layers: Layers) -> list[str]:
    """A chunk's row; the signature counts to the header, so that the bytes add up."""
    head = chunk["meaning"] == "header"
    size = chunk["bytes"] + (chunk["offset"] if head else 0)
    bpp = 8 * size / (found["width"] * found["height"])
    cost = [f"{size:,}", f"{size / found['bytes']:.1%}", f"{bpp:.4f}"]
    part, fill, needs = chunk["meaning"], "", ""
    if layer := layers.get(chunk["offset"]):
        part, fill = _title(layer), f"{layer['fill']:.1%}"
        needs = "-" if layer["needs"] is None else f"{layer['needs']:,}"
    return [part, "0" if head else f"{chunk['offset']:,}", *cost, fill, needs]


def _makers(found: dict[str, Any], layers: Layers) -> list[list[str]]:
    """What each group and layer was made with, those that are here."""
    groups = {f"hyper {group['group']}": group for group in found["groups"]}
    rows = []
    for chunk in found["chunks"]:
        if group := groups.get(chunk["meaning"]):
            made = f"{group['codec']['id']}, quality {group['quality']:.4g}, skip {group['skip']}"
            rows.append([chunk["meaning"], made])
        elif layer := layers.get(chunk["offset"]):
            rows.append([_title(layer), _made(layer)])
    return rows


def _title(layer: dict[str, Any]) -> str:
    level = f":{layer['level']}" if layer["level"] else ""
    return f"{layer['task']}{level}"


def _made(layer: dict[str, Any]) -> str:
    parts = [f"{layer['mask']} mask"]
    for kind in ("predictor", "adapter"):
        if bundle := layer[kind]:
            roles = f" ({', '.join(bundle['roles'])})" if bundle["roles"] else ""
            here = "" if bundle["installed"] else " (not here)"
            parts.append(f"{kind} {bundle['id']}{roles}{here}")
    return ", ".join(parts)
