"""One loop for runs over one or many files: checks, progress, bad files, and the exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from icmhcodec.cli import files
from icmhcodec.cli.files import Job
from icmhcodec.cli.report import Settings, complain, describe, detail

Work = Callable[[Job], None]


def run(title: str | None, jobs: Sequence[Job], check: Work, start: Callable[[], Work]) -> int:
    """Check every job, then work on the good ones; go on after a bad one; give the exit code.

    `start` is called once, when there is something to do: there networks are loaded.
    The code is 0, with one job its error's own, with several 1 when some failed.
    """
    codes: list[int] = []
    ready = [job for job in jobs if _done(check, job, codes)]
    if ready:
        work = start()
        with _progress(title, len(ready)) as advance:
            for job in ready:
                begun = time.monotonic()
                if _done(work, job, codes):
                    detail(f"{files.name(job.source)}: done in {time.monotonic() - begun:.2f} s")
                advance()
    if len(jobs) > 1 and codes:
        complain(f"{len(codes)} of {len(jobs)} inputs failed")
        return 1
    return codes[0] if codes else 0


def _done(work: Work, job: Job, codes: list[int]) -> bool:
    """Do it; an error is said and its code noted."""
    where = files.name(job.source)
    try:
        work(job)
    except BrokenPipeError:
        raise
    except Exception as error:
        message, code = describe(error, where)
        debug = click.get_current_context().ensure_object(Settings).debug
        complain(message, error if debug else None)
        codes.append(code)
        return False
    return True


@contextmanager
def _progress(title: str | None, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal when there are several files, and a title."""
    if title is None or total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        # A piped stdout carries results, which must not move to the terminal with the bar.
        redirect_stdout=sys.stdout.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)
