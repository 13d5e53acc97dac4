"""`icmh join`: put parts of a file together again, by copying bytes."""

from __future__ import annotations

from pathlib import Path

import click

from icmhcodec.cli import files, options, video
from icmhcodec.cli.files import STREAM
from icmhcodec.cli.report import detail
from icmhcodec.errors import IcmhError, UsageError


@click.command(short_help="Put parts of a file together again.")
@click.argument("parts", nargs=-1, required=True, metavar="PART...", type=options.PATH)
@options.output("Where the whole goes.", required=True)
@options.force
@options.common
def command(parts: tuple[Path, ...], output: Path, force: bool) -> None:
    """Put parts of one file together again, in any order.

    All parts give the file they were cut from, byte for byte; some give what they hold. Neither
    decodes nor needs weights.

    \b
    icmh join det.icm rest.icm -o photo.icm
    """
    from icmhcodec import container

    if parts.count(STREAM) > 1:
        raise UsageError("only one part can come from stdin")
    files.check_target(output, parts, force=force)
    if _of_clips(parts):
        video.join(parts, output, force=force)
        return
    blobs = []
    for part in parts:
        with files.blamed(part):
            blobs.append(files.read_icm(part))
    try:
        whole = container.join(blobs)
    except IcmhError:
        for part, blob in zip(parts, blobs, strict=True):
            with files.blamed(part):  # what is wrong with one is that one's
                container.join([blob])
        raise
    files.write(output, whole, force=force)
    detail(f"{files.name(output, 'stdout')}: {len(whole):,} bytes")


def _of_clips(parts: tuple[Path, ...]) -> bool:
    """Whether parts are of clips; UsageError where some are and some are of pictures."""
    kinds = {video.is_sequence(part): files.name(part) for part in parts}
    if len(kinds) == 2:
        raise UsageError(f"{kinds[True]} is of a clip and {kinds[False]} of a picture")
    return True in kinds
