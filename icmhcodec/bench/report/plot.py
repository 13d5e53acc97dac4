"""Curves of a report as a picture: accuracy and PSNR over bits per pixel."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmhcodec.bench.report.words import (
    amount,
    curve_names,
    is_own,
    is_task,
    label,
    main_metric,
    metric_names,
    original,
    ranking,
    ranking_title,
    title,
)
from icmhcodec.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One hue per family of codecs, told apart also by most who see fewer colours and on dark ground.
COLORS = {
    "icmh": "#d6336c",
    "jpeg": "#868e96",
    "webp": "#2b8a9d",
    "avif": "#1c7ed6",
    "jxl": "#2f9e44",
    "heic": "#e8890c",
    "compressai": "#7048e8",
    "vvc": "#8f6a3d",
    "bpg": "#5f7a1f",
    "simulcast": "#b8860b",
    "x264": "#868e96",
    "x265": "#1c7ed6",
    "svt-av1": "#e8890c",
    "all-intra": "#7048e8",
}
SPARE = ("#0c8599", "#a61e4d", "#5c940d", "#364fc7")
# Another encoder's habits on one and the same format.
OPTION_COLORS = {"x264:zerolatency": "#5f7a1f", "x265:zerolatency": "#2b8a9d"}
PROFILE_COLORS = {
    "icmh/plain": "#f783ac",
    "icmh/machine": "#862e9c",
    "all-intra/scalable": "#4527a0",
}
INK, PAPER, GRID = "#212529", "#ffffff", "#e3e6e9"


def color(curve: str) -> str:
    """Colour of a curve: that of its codec's family, the same in every report."""
    codec, _, rest = curve.partition("/")
    family = codec.split("@")[0].split(":")[0]
    profile = PROFILE_COLORS.get(f"{family}/{rest.split('/')[0]}") or OPTION_COLORS.get(codec)
    return profile or COLORS.get(family) or SPARE[sum(map(ord, family)) % len(SPARE)]


def dashes(curve: str) -> str:
    """Line of a curve: dashed on shrunk pictures, dotted for simulcast, else solid."""
    codec = curve.split("/", maxsplit=1)[0]
    return ":" if codec.startswith("simulcast") else "--" if "@" in codec else "-"


def panels(report: Mapping[str, Any]) -> list[str]:
    """Metrics worth a panel: the network's first two, then PSNR, and MS-SSIM without a network."""
    names = metric_names(report)
    tasks = [name for name in names if name not in ("psnr", "ms_ssim", "ms_ssim_db", "lpips")][:2]
    human = [name for name in ("psnr", "ms_ssim_db") if name in names]
    return tasks + (human[:1] if tasks else human)


def write(path: str | Path, report: Mapping[str, Any]) -> None:
    """Draw the curves of a report (`summary.summarise`) to a .png or .svg file.

    Raises UsageError for another ending.
    """
    kind = Path(path).suffix.lower()
    if kind not in (".png", ".svg"):
        raise UsageError(f"{path}: plots are written as .png or .svg")
    main = main_metric(report)
    chosen = [name for name in panels(report) if name in (main, "psnr")] or panels(report)[:2]
    with _style("icmh"):
        figure = _figure(5.6 * len(chosen) + 2.6, 4.6)
        for number, metric in enumerate(chosen, 1):
            panel(figure.add_subplot(1, len(chosen), number), report, metric)
        _legend(figure, report)
        data, network = report["dataset"], report["network"]
        about = f"{data['name']}, {amount(report)}"
        about += f", {network['id']}" if network else ""
        figure.suptitle(about, x=0.008, ha="left", fontsize=11, color="#666c72")
        figure.savefig(path, dpi=160, metadata={"Date": None} if kind == ".svg" else None)


def inline(report: Mapping[str, Any], metric: str) -> str:
    """One panel as an SVG element without a legend, for a page."""
    with _style(metric):
        figure = _figure(4.7, 3.5)
        panel(figure.add_subplot(), report, metric)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def panel(axes: Axes, report: Mapping[str, Any], metric: str) -> None:
    """Draw one metric of all curves over bits per pixel."""
    human = metric in ("psnr", "ms_ssim_db")
    for curve in curve_names(report):
        rows = [
            row
            for row in report["rows"]
            if row["curve"] == curve and row["metrics"].get(metric) is not None
        ]
        if rows and not (human and is_task(curve)):
            _line(axes, curve, rows, metric)
    whole = original(report, metric)
    if whole is not None:
        axes.axhline(whole, color=INK, lw=1, ls=(0, (5, 4)), zorder=1.5)
        axes.annotate(
            f"uncompressed {whole:.1f}", (0.012, whole), (0, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", fontsize=8.5, color=INK,
        )  # fmt: skip
    _dress(axes, title(metric))


def _line(axes: Axes, curve: str, rows: Sequence[Mapping[str, Any]], metric: str) -> None:
    bpp, values = [row["bpp"] for row in rows], [row["metrics"][metric] for row in rows]
    ranges = [row["ci95"].get(metric) for row in rows]
    shade, bold = color(curve), is_task(curve)
    # Bands of all curves would cover each other: the layers of interest carry theirs.
    if bold and is_own(curve) and all(ranges):
        low, high = zip(*ranges, strict=True)
        axes.fill_between(bpp, low, high, color=shade, alpha=0.1, lw=0, zorder=2)
    axes.plot(bpp, values, **_look(curve), zorder=4 if bold else 3, gid=f"{metric}:{curve}")


def _look(curve: str) -> dict[str, Any]:
    shade, bold = color(curve), is_task(curve)
    return {
        "color": shade,
        "ls": dashes(curve),
        "lw": 2.2 if bold else 1.4,
        "marker": "o",
        "ms": 4.5 if bold else 3.2,
        "mfc": shade if bold else PAPER,
        "mew": 1.2,
    }


def _legend(figure: Figure, report: Mapping[str, Any]) -> None:
    """Curves beside the panels, those that need the fewest bits first, with their BD-rate."""
    from matplotlib.lines import Line2D

    names, lines = [], []
    for curve, rate in ranking(report):
        names.append(f"{label(curve)}  {rate}" if rate else label(curve))
        lines.append(Line2D([], [], **_look(curve)))
    legend = figure.legend(
        lines, names, loc="outside right upper", frameon=False, fontsize=9, handlelength=2.6,
        title=ranking_title(report), title_fontsize=9, alignment="left", labelcolor=INK,
    )  # fmt: skip
    legend.get_title().set_color("#666c72")


def _dress(axes: Axes, name: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=0, colors=INK, labelsize=9)
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.set_xlabel("bits per pixel", fontsize=9.5, color=INK)
    axes.set_title(name, loc="left", fontsize=11, fontweight="bold", color=INK)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained", facecolor=PAPER)


def _style(salt: str) -> Any:
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise UsageError("plots need matplotlib; pip install 'icmhcodec[bench]'") from error
    # Text stays text in an SVG, and its ids are the same in every run.
    return rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.family": "sans-serif"})
