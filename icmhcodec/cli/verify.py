"""`icmh verify`: whether files are whole and undamaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from icmhcodec.cli import batch, files, options, tables, video
from icmhcodec.cli.files import Job
from icmhcodec.errors import FormatError

if TYPE_CHECKING:
    from icmhcodec.pipeline.codec import Codec


@click.command(short_help="Check files for damage.")
@options.inputs
@click.option("--full", is_flag=True, help="Decode the symbols of every layer, too.")
@options.machine
@options.as_json
@options.common
def command(
    inputs: tuple[Path, ...],
    full: bool,
    device: str,
    threads: int | None,
    precision: str,
    as_json: bool,
) -> int:
    """Check structure and checksums of .icm files and of parts of them.

    A part that was split off is intact; what it has not is listed.

    \b
    icmh verify coded/
    icmh verify --full photo.icm
    """
    jobs = [Job(source, files.STREAM) for source in files.expand(inputs, [".icm"])]

    def start() -> Callable[[Job], None]:
        from icmhcodec import container

        codec = _codec(device, threads, precision) if full else None

        def work(job: Job) -> None:
            if video.is_sequence(job.source):
                check = codec.verify_clip if codec else None
                video.verify(job.source, as_json=as_json, full=check)
                return
            data = files.read_icm(job.source)
            file = container.parse(data, partial=True)
            findings = codec.verify(data, full=True) if codec else list(file.damage)
            if as_json:
                result = {"file": str(job.source), "damage": findings, "missing": file.missing}
                tables.print_json(result)
            elif not findings:
                without = f", without {', '.join(file.missing)}" if file.missing else ""
                click.echo(f"{files.name(job.source)}: intact{without}")
            if findings:
                raise FormatError("; ".join(findings))

        return work

    return batch.run("verify", jobs, lambda job: files.check_source(job.source), start)


def _codec(device: str, threads: int | None, precision: str) -> Codec:
    from icmhcodec.pipeline.codec import Codec

    return Codec(device=device, threads=threads, precision=precision)
