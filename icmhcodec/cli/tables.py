"""Tables and JSON on stdout: rich on a terminal, plain text elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from icmhcodec.cli.report import on_terminal


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns whose title starts with `>` are aligned to the right."""
    titles = [column.lstrip(">") for column in columns]
    right = [column.startswith(">") for column in columns]
    if on_terminal():
        _print_rich(titles, right, rows)
        return
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    for row in [titles, *rows]:
        cells = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _print_rich(
    titles: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]]
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console, JustifyMethod
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    last = len(titles) - 1
    for number, (title, is_right) in enumerate(zip(titles, right, strict=True)):
        # On a narrow terminal the last column gives way: cut numbers are worthless.
        justify: JustifyMethod = "right" if is_right else "left"
        table.add_column(title, justify=justify, no_wrap=number < last, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, indented on a terminal."""
    click.echo(json.dumps(value, indent=2 if on_terminal() else None))
