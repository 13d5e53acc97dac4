"""Whether the quality scale is smooth: size and PSNR of real files from q 0 to 9 in small steps.

A higher quality must never give a worse picture, nor a smaller file: counted for the mean over the
pictures and for each picture, in the precision that users get by default (whose switch from
bfloat16 to float32 lies on the way) or in another.

    python -m benchmarks.quality_scale
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.progress import track

from benchmarks import common
from benchmarks.common import Pixels
from icmhcodec.codecs import registry
from icmhcodec.pipeline.codec import DEFAULT_BASE, Codec
from icmhcodec.pipeline.networks import PRECISIONS, reference_of

PLOT = common.ROOT / "docs" / "quality-scale.png"
HIGHEST = 9.0


def scale(step: float) -> list[float]:
    """Qualities from 0 to 9."""
    return [float(q) for q in np.linspace(0, HIGHEST, round(HIGHEST / step) + 1)]


def curve(codec: Codec, pixels: Pixels, qualities: Sequence[float]) -> dict[str, list[float]]:
    """Bits per pixel and PSNR of a picture's files at each quality."""
    files = [codec.encode(pixels, quality=q, strip=True).data for q in qualities]
    decoded = [codec.decode(data).picture.pixels for data in files]
    area = pixels.shape[0] * pixels.shape[1]
    return {
        "bpp": [8 * len(data) / area for data in files],
        "psnr": [common.psnr(pixels, one) for one in decoded],
    }


def falls(values: Sequence[float]) -> int:
    """How often a value lies below the one before it."""
    return int((np.diff(values) < 0).sum())


def stalls(values: Sequence[float]) -> int:
    """How often a value does not rise."""
    return int((np.diff(values) <= 0).sum())


def summarise(qualities: Sequence[float], curves: dict[str, dict[str, list[float]]]) -> Any:
    """Means over the pictures, and where they do not rise."""
    means = {
        key: [float(v) for v in np.mean([c[key] for c in curves.values()], 0)]
        for key in ("bpp", "psnr")
    }
    return {
        "qualities": list(qualities),
        **means,
        "psnr_falls": falls(means["psnr"]),
        "bits_stall": stalls(means["bpp"]),
        "largest_step": {key: float(np.diff(values).max()) for key, values in means.items()},
        "smallest_step": {key: float(np.diff(values).min()) for key, values in means.items()},
        "pictures": {
            name: {"psnr_falls": falls(c["psnr"]), "bits_stall": stalls(c["bpp"]), **c}
            for name, c in curves.items()
        },
    }


def plot(results: dict[str, Any], path: Path) -> None:
    """Both over the quality, the mean in bold and each picture in thin lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    qualities = results["qualities"]
    for place, (key, unit) in enumerate((("bpp", "bits per pixel"), ("psnr", "PSNR (dB)"))):
        axes = figure.add_subplot(1, 2, place + 1)
        for one in results["pictures"].values():
            axes.plot(qualities, one[key], color="#adb5bd", linewidth=0.8)
        axes.plot(qualities, results[key], color="#d6336c", marker=".", linewidth=1.8)
        if key == "bpp":
            axes.set_yscale("log")
        axes.set_xlabel("quality")
        axes.set_ylabel(unit)
        axes.grid(color="#e3e6e9")
    figure.suptitle(
        f"{results['settings']['codec'].split()[0]}: {len(results['pictures'])} pictures "
        "(grey) and their mean"
    )
    figure.savefig(path, dpi=110)


@click.command(help="Size and PSNR over the whole quality scale.")
@click.option("--kodak", type=click.Path(path_type=Path), default=common.KODAK)
@click.option(
    "--output", type=click.Path(path_type=Path), default=common.RESULTS / "quality-scale.json"
)
@click.option("--plot", "picture", type=click.Path(path_type=Path), default=PLOT)
@click.option("--base", default=DEFAULT_BASE, show_default=True)
@click.option("--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True)
@click.option("--step", type=click.FloatRange(0, 9, min_open=True), default=0.25)
@click.option("--limit", type=click.IntRange(1), default=8, show_default=True)
def main(
    kodak: Path, output: Path, picture: Path, base: str, precision: str, step: float, limit: int
) -> None:
    codec, qualities = Codec(base, precision=precision), scale(step)
    curves = {
        path.stem: curve(codec, common.read(path), qualities)
        for path in track(common.pictures(kodak, limit), "pictures")
    }
    reference = reference_of(registry.load(base))
    settings = {
        "codec": f"{reference.id} {reference.fingerprint.hex()}",
        "precision": precision,
        "step": step,
    }
    results = {"settings": settings, **summarise(qualities, curves)}
    common.write_json(output, results)
    plot(results, picture)
    print(f"PSNR falls {results['psnr_falls']} times, bits stall {results['bits_stall']} times")


if __name__ == "__main__":
    main()
