"""`icmh split`: cut the layers of tasks off a file, by copying bytes."""

from __future__ import annotations

from pathlib import Path

import click

from icmhcodec.cli import files, options, video
from icmhcodec.cli.files import STREAM
from icmhcodec.cli.report import detail
from icmhcodec.errors import UsageError


@click.command(short_help="Cut off the layers of tasks.")
@click.argument("source", metavar="INPUT", type=options.PATH)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    required=True,
    callback=options.parse_names,
    metavar="NAME,...",
    help="Tasks whose layers, and those they build on, go into the output.",
)
@options.output("Where the part goes; default: NAME.TASK.icm beside the input.")
@click.option("--rest", type=options.PATH, help="Where what is left goes.")
@options.force
@options.common
def command(
    source: Path, tasks: tuple[str, ...], output: Path | None, rest: Path | None, force: bool
) -> None:
    """Cut the layers of tasks off a file, to be sent or kept alone.

    Neither decodes nor needs weights. A part carries no metadata: neither place nor time nor
    camera. `icmh join` puts the parts together again, byte for byte.

    \b
    icmh split photo.icm --task det -o det.icm --rest rest.icm
    icmh join det.icm rest.icm -o photo.icm
    """
    from icmhcodec import container

    if output is None:
        output = STREAM if source == STREAM else source.with_suffix(f".{'-'.join(tasks)}.icm")
    targets = [output] if rest is None else [output, rest]
    if len(set(targets)) < len(targets):
        raise UsageError(f"--rest {rest}: the part goes there already; name another file")
    for target in targets:
        files.check_target(target, [source], force=force)
    with files.blamed(source):
        if video.is_sequence(source):
            video.split(source, tasks, output, rest, force=force)
            return
        data = files.read_icm(source)
        part = container.split(data, tasks)
        left = container.rest(data, tasks) if rest is not None else b""
    _write(output, part, force)
    if rest is not None:
        _write(rest, left, force)


def _write(target: Path, data: bytes, force: bool) -> None:
    files.write(target, data, force=force)
    detail(f"{files.name(target, 'stdout')}: {len(data):,} bytes")
