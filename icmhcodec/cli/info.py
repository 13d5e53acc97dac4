"""`icmh info`: what is in files, where it stands and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from icmhcodec.cli import batch, files, options, tables
from icmhcodec.cli.files import Job
from icmhcodec.errors import FormatError

COLUMNS = ("part", ">offset", ">bytes", ">bits", ">share", ">bpp", ">fill", "made with")


@click.command(short_help="Show what is in .icm files.")
@options.inputs
@options.as_json
@options.common
def command(inputs: tuple[Path, ...], as_json: bool) -> int:
    """Show what is in .icm files: layers, where they stand, what each costs.

    Neither decodes nor needs weights. Bytes are those of the file, chunk frames included; fill is
    the share of the latent's coded elements that a layer holds. The file up to the end of a layer
    is enough to decode it.

    \b
    icmh info photo.icm
    icmh info --json photo.icm | jq '.layers[0].end'
    """
    jobs = [Job(source, files.STREAM) for source in files.expand(inputs, [".icm"])]

    def start() -> Callable[[Job], None]:
        from icmhcodec.pipeline.info import info

        def work(job: Job) -> None:
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
        f"{found['bytes']:,} bytes, {found['bpp']:.4f} bpp"
    )
    tables.print_table(COLUMNS, _rows(found))
    if found["overhead"] is not None:
        click.echo(f"header and frames: {found['overhead']} bytes")
    if found["missing"]:
        click.echo(f"not in this part: {', '.join(found['missing'])}")


def _rows(found: dict[str, Any]) -> list[list[str]]:
    """One row per chunk; the signature counts to the header, so that the bytes add up."""
    pixels = found["width"] * found["height"]
    layers = {layer["offset"]: layer for layer in found["layers"] if layer["present"]}
    groups = {f"hyper {group['group']}": group for group in found["groups"]}
    rows = []
    for chunk in found["chunks"]:
        head = chunk["meaning"] == "header"
        size = chunk["bytes"] + (chunk["offset"] if head else 0)
        part, fill, made = chunk["meaning"], "", ""
        if layer := layers.get(chunk["offset"]):
            part, fill, made = _title(layer), f"{layer['fill']:.1%}", _made(layer)
        elif group := groups.get(part):
            made = f"{group['codec']['id']}, q {group['quality']:.4g}, skip {group['skip']}"
        cost = [f"{size:,}", f"{8 * size:,}", f"{size / found['bytes']:.1%}"]
        offset = "0" if head else f"{chunk['offset']:,}"
        rows.append([part, offset, *cost, f"{8 * size / pixels:.4f}", fill, made])
    return rows


def _title(layer: dict[str, Any]) -> str:
    level = f":{layer['level']}" if layer["level"] else ""
    return f"{layer['task']}{level}"


def _made(layer: dict[str, Any]) -> str:
    parts = [f"{layer['mask']} mask"]
    parts += [f"{key} {layer[key]['id']}" for key in ("predictor", "adapter") if layer[key]]
    return ", ".join(parts)
