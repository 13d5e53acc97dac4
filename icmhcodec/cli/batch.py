"""One loop for runs over one or many files: checks, progress, bad files, and the exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import TypeVar

import click

from icmhcodec.cli import files
from icmhcodec.cli.files import Job
from icmhcodec.cli.report import Settings, complain, describe, detail, on_terminal
from icmhcodec.errors import ExistsError

R = TypeVar("R")
Check = Callable[[Job], None]
Start = Callable[[], Callable[[Job], R]]


def run(
    title: str | None,
    jobs: Sequence[Job],
    check: Check,
    start: Start[R],
    finish: Callable[[Job, R], None] = lambda job, result: None,
    *,
    processes: int = 1,
    threads: int | None = None,
) -> int:
    """Check every job, then work on the good ones; go on after a bad one; give the exit code.

    `start` is called once for each process, when there is something to do: there networks are
    loaded. `finish` gets each result in this process, whatever does the work; with several
    processes, each of `threads` threads, results come as they are done, and `start` must pickle.
    Of jobs in bulk those are left out whose result is there already. The code is 0, with one job
    its error's own, with several 1 when some failed.
    """
    codes: list[int] = []
    skipped: list[Job] = []
    ready = [job for job in jobs if _done(job, partial(check, job), codes, skipped)]
    if ready:
        from icmhcodec.pipeline import jobs as pool

        # Only this process has the stdin that is meant.
        alone = any(files.is_stream(job.source) for job in ready)
        number = 1 if alone else min(processes, len(ready))
        results = pool.run(ready, partial(_timed, start), jobs=number, threads=threads)
        shown = {title: len(ready)} if title and len(ready) > 1 else {}
        with (
            _counted_when_interrupted(len(ready)) as count,
            bars(shown) as advance,
            closing(results),
        ):
            for job, result in results:
                if _done(job, partial(_finish, finish, job, result), codes, skipped):
                    count()
                advance(title or "", 1)
    if skipped:
        complain(f"{len(skipped)} of {len(jobs)} outputs exist and stay; --force overwrites them")
    if len(jobs) > 1 and codes:
        complain(f"{len(codes)} of {len(jobs)} inputs failed")
        return 1
    return codes[0] if codes else 0


def _timed(start: Start[R]) -> Callable[[Job], Iterator[tuple[float, R]]]:
    work = start()

    def timed(job: Job) -> Iterator[tuple[float, R]]:
        begun = time.monotonic()
        result = work(job)
        yield time.monotonic() - begun, result

    return timed


def _finish(
    finish: Callable[[Job, R], None], job: Job, result: tuple[float, R] | Exception
) -> None:
    if isinstance(result, Exception):
        raise result
    seconds, value = result
    finish(job, value)
    detail(f"{files.name(job.source)}: done in {seconds:.2f} s")


def _done(job: Job, action: Callable[[], None], codes: list[int], skipped: list[Job]) -> bool:
    """Do it; an error is said and its code noted."""
    try:
        action()
    except BrokenPipeError:
        raise
    except Exception as error:
        if job.in_bulk and isinstance(error, ExistsError):
            skipped.append(job)
            detail(f"{files.name(job.source)}: {job.target} exists")
            return False
        message, code = describe(error, files.name(job.source))
        debug = click.get_current_context().ensure_object(Settings).debug
        complain(message, error if debug else None)
        codes.append(code)
        return False
    return True


@contextmanager
def _counted_when_interrupted(total: int) -> Iterator[Callable[[], None]]:
    """Let an interrupt say how many of several jobs are done."""
    done = 0

    def count() -> None:
        nonlocal done
        done += 1

    try:
        yield count
    except KeyboardInterrupt as stop:
        if total == 1:
            raise
        said = str(stop) or "interrupted"
        raise type(stop)(f"{said}; {done} of {total} done, run it again for the rest") from None


@contextmanager
def bars(totals: Mapping[str, int]) -> Iterator[Callable[[str, float], None]]:
    """Show a bar for each title on a terminal, and one for all together where there are several.

    Gives what moves a bar on by a number of steps.
    """
    if not totals or not sys.stderr.isatty():
        yield lambda title, steps: None
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
        redirect_stdout=on_terminal(),
        transient=True,
    ) as progress:
        tasks = {title: [progress.add_task(title, total=n)] for title, n in totals.items()}
        if len(totals) > 1:
            whole = progress.add_task("all", total=sum(totals.values()))
            for title in totals:
                tasks[title].append(whole)

        def advance(title: str, steps: float) -> None:
            for task in tasks[title]:
                progress.advance(task, steps)

        yield advance
