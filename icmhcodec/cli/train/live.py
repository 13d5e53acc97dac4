"""What a run shows while it trains, and how it is stopped."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from icmhcodec.training.loop import Progress, Validation

Report = Callable[["Progress"], None]
# How a mean is written: label, digits, unit.
_FORMS = {
    "psnr": ("PSNR ", ".2f", " dB"),
    "bpp": ("", ".3f", " bpp"),
    "fill": ("fill ", ".0%", ""),
}


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Let a step end before Ctrl-C or SIGTERM does; the second one interrupts at once."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _figures(progress: Progress) -> list[str]:
    parts = [f"step {progress.steps}"]
    if progress.steps_per_second:
        parts.append(f"{progress.steps_per_second:.2f} steps/s")
    for name, value in progress.means.items():
        label, digits, unit = _FORMS.get(name, (f"{name} ", ".4f", ""))
        parts.append(f"{label}{value:{digits}}{unit}")
    return parts


def _validated(validation: Validation) -> list[str]:
    points = [f"q{p.quality:g} {p.bpp:.3f} bpp {p.psnr:.2f} dB" for p in validation.curve]
    return [f"held out {validation.loss:.4f}", *points]


def _time_left(progress: Progress) -> str:
    if progress.seconds_left is None:
        return ""
    minutes = progress.seconds_left / 60
    return f"{minutes:.1f} min left" if minutes < 100 else f"{minutes / 60:.1f} h left"


def line(progress: Progress) -> str:
    """All of a report in one line."""
    parts = [f"{progress.done:4.0%}", *_figures(progress)]
    parts += _validated(progress.validation) if progress.validation else []
    return "  ".join([*parts, _time_left(progress)]).rstrip()


@contextmanager
def view(shown: bool = True) -> Iterator[Report]:
    """Show a table that follows the run on a terminal, and elsewhere a line per report.

    Of several processes one shows.
    """
    if not shown:
        yield lambda progress: None
        return
    if not sys.stderr.isatty():
        yield lambda progress: click.echo(line(progress), err=True)
        return
    from rich.console import Console
    from rich.live import Live

    validations: list[tuple[int, Validation]] = []
    with Live(console=Console(stderr=True), refresh_per_second=1) as live:

        def report(progress: Progress) -> None:
            if progress.validation is not None:
                validations.append((progress.steps, progress.validation))
            live.update(_panel(progress, validations), refresh=True)

        yield report


def _panel(progress: Progress, validations: list[tuple[int, Validation]]) -> Any:
    """The figures, a bar, and the first and the latest validations as a table."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    header = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=1.0, completed=progress.done, width=30)
    header.add_row(f"{progress.done:.1%}", bar, _time_left(progress), *_figures(progress))
    if not validations:
        return Group(header)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("held out")
    table.add_column("loss", justify="right")
    for point in validations[0][1].curve:
        table.add_column(f"q {point.quality:g}: bpp, dB", justify="right")
    for steps, validation in [*validations[:1], *validations[1:][-5:]]:
        points = [f"{point.bpp:.3f} {point.psnr:.2f}" for point in validation.curve]
        table.add_row(f"step {steps}", f"{validation.loss:.4f}", *points)
    return Group(header, table)
