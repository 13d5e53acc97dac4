"""Tables of a bench report on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from icmhcodec.bench.report.words import (
    amount,
    compared,
    entry,
    headline,
    label,
    main_metric,
    metric_names,
    number,
    of_clips,
    percent,
    seconds,
    span,
    speed,
    title,
)


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the points of every curve, the BD-rates against the anchors, and what failed."""
    data, network = report["dataset"], report["network"]
    about = f"{data['name']}: {amount(report)}, {data['pixels'] / 1e6:.1f} megapixels"
    console.print(Text(about + (f"; {network['id']}" if network else ""), style="bold"))
    console.print(_points(report))
    console.print()
    metric = main_metric(report)
    for name in dict.fromkeys(name for name in (metric, "psnr") if name):
        if any(found["metric"] == name for found in report["bd"]):
            caption = f"BD-rate at equal {title(name)}; below zero: fewer bits than the anchor"
            console.print(Text(caption, style="italic"))
            console.print(_rates(report, name))
            console.print()
    console.print(Text(headline(report), style="bold"))
    for failure in report["failures"]:
        where = ", ".join(str(value) for key, value in failure.items() if key != "message")
        console.print(Text(f"failed: {where}: {failure.get('message', '')}", style="red"))


def _table(*columns: str, **options: Any) -> Table:
    table = Table(
        box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, **options
    )
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", no_wrap=place > 0)
    return table


def _points(report: Mapping[str, Any]) -> Table:
    # In dB and raw, MS-SSIM takes twice the room and says the same.
    metrics = [name for name in metric_names(report) if name != "ms_ssim_db"]
    # Units below names: all of it is to fit into 80 columns.
    heads = [title(name).replace(" (lower is better)", "").replace(" (", "\n(") for name in metrics]
    costs = ("enc\nfps", "dec\nfps") if of_clips(report) else ("encode", "decode")
    table = _table("curve", "point", "bpp", *heads, *costs, "MB")
    for curve, rows in groupby(report["rows"], key=lambda row: row["curve"]):
        for place, row in enumerate(rows):
            values = [number(name, row["metrics"].get(name)) for name in metrics]
            times = [*_times(row), f"{row['peak_mb']:.0f}"]
            start = [label(curve) if place == 0 else "", f"{row['point']:g}", f"{row['bpp']:.4f}"]
            table.add_row(*map(Text, [*start, *values, *times]))
        table.add_section()
    return table


def _times(row: Mapping[str, Any]) -> list[str]:
    if "encode_fps" in row:
        return [speed(row["encode_fps"]), speed(row["decode_fps"])]
    return [seconds(row["encode_s"]), seconds(row["decode_s"])]


def _rates(report: Mapping[str, Any], metric: str) -> Table:
    curves, anchors = compared(report, metric)
    table = _table("curve", *(f"to {label(name)}" for name in anchors))
    for curve in curves:
        cells = [_cell(entry(report, curve, anchor, metric)) for anchor in anchors]
        table.add_row(Text(label(curve)), *cells)
    return table


def _cell(found: Mapping[str, Any] | None) -> Text:
    if found is None:
        return Text("")
    rate = found["bd_rate_percent"]
    style = "dim" if rate is None else "green" if rate < 0 else ""
    cell = Text(percent(rate), style=style)
    if found["ci95"] is not None:
        cell.append(f" [{span(found['ci95'])}]", style="dim")
    return cell
