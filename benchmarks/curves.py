"""Rate and distortion on Kodak of all base codecs that were measured, beside the others, as a plot.

From what `benchmarks.rate` has written:

    python -m benchmarks.curves
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import common

PLOT = common.ROOT / "docs" / "rate.png"
MEASURED = ("rate.json", "rate-mbt2018-mean-gain-3.json")
OWN = ("#f783ac", "#d6336c", "#862e9c")
OTHERS = {
    "JPEG": "#adb5bd",
    "WebP": "#74b816",
    "AVIF": "#1c7ed6",
    "mbt2018-mean (published)": "#495057",
}
MOST_BPP = 2.0
Curve = tuple[str, list[float], list[float]]


def own(results: dict[str, Any]) -> Curve:
    """The curve of an icmh base codec."""
    rows = results["icmh"]
    name = results["settings"]["codec"].split()[0]
    return name, [row["bpp"] for row in rows], [row["psnr"] for row in rows]


def plot(measured: Sequence[dict[str, Any]], path: Path) -> None:
    """PSNR over bits, icmh's codecs in bold."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for name, colour in OTHERS.items():
        if curve := measured[0]["others"].get(name):
            axes.plot(curve["bpp"], curve["psnr"], color=colour, label=name, linewidth=1.3)
    for results, colour in zip(measured, OWN, strict=False):
        name, bpp, psnr = own(results)
        axes.plot(bpp, psnr, color=colour, label=name, marker=".", linewidth=2)
    inside = [p for r in measured for _, bpps, ps in [own(r)] for b, p in zip(bpps, ps, strict=True)
              if b <= MOST_BPP]  # fmt: skip
    axes.set_xlim(0, MOST_BPP)
    axes.set_ylim(min(inside) - 2, max(inside) + 1.5)
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("PSNR (dB)")
    axes.set_title(f"{measured[0]['settings']['pictures']} Kodak pictures")
    axes.grid(color="#e3e6e9")
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=110)


@click.command(help="Plot the curves of benchmarks.rate.")
@click.option("--results", type=click.Path(path_type=Path), default=common.RESULTS)
@click.option("--output", type=click.Path(path_type=Path), default=PLOT)
def main(results: Path, output: Path) -> None:
    found = [results / name for name in MEASURED if (results / name).exists()]
    if not found:
        raise click.ClickException(f"{results}: none of {', '.join(MEASURED)} here")
    plot([json.loads(path.read_text()) for path in found], output)


if __name__ == "__main__":
    main()
