"""Real bits of icmh on Kodak: against quality, against its own model, against other codecs.

For each quality, over all pictures: bytes of the file, PSNR and MS-SSIM of what it decodes to; the
bits of the coded segments beside the float model's own likelihoods of the elements that are coded;
how many table indexes the integer hyper-decoder moves, and what that costs in ideal code lengths;
bytes of header and framing. For some qualities, what more effort of the encoder gains.
Beside it JPEG, WebP and AVIF through Pillow, and CompressAI's published mbt2018-mean.
PSNR is over RGB; bpp, PSNR and MS-SSIM are means over the pictures.

    python -m benchmarks.rate
"""

from __future__ import annotations

import importlib.util
import io
import json
import multiprocessing
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bjontegaard  # type: ignore[import-untyped]
import click
import numpy as np
import torch
from PIL import Image
from rich.progress import Progress
from torch import Tensor

from benchmarks import common, reference
from benchmarks.common import Pixels
from icmhcodec import container
from icmhcodec.codecs import registry
from icmhcodec.codecs.contract import QUALITY_UNIT, BaseCodec
from icmhcodec.pipeline import latent
from icmhcodec.pipeline.area import area_of
from icmhcodec.pipeline.codec import DEFAULT_BASE, Codec
from icmhcodec.pipeline.latent import Quantised
from icmhcodec.pipeline.tensors import to_input
from icmhcodec.training.evaluate import compare_stages, scale_index

Row = dict[str, Any]

PUBLISHED = common.ROOT.parent / "shared" / "reference" / "kodak_published.json"
PUBLISHED_CURVE = "compressai-mbt2018-mean_mse_cpu"
QUALITIES = tuple(float(q) for q in range(10))
EFFORT, SEARCHED = 3, (1.0, 3.0, 5.0, 8.0)  # of encoding, and the qualities at it
OTHERS: dict[str, tuple[dict[str, Any], Sequence[int]]] = {
    "JPEG": ({"optimize": True}, (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)),
    "WebP": ({"method": 6}, (0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)),
    "AVIF": ({"speed": 6}, (10, 20, 30, 40, 50, 60, 70, 80, 90)),
}
HAS_MS_SSIM = importlib.util.find_spec("pytorch_msssim") is not None
SMALLEST_MS_SSIM = 176  # pixels that its five scales need


def ms_ssim(first: Pixels, second: Pixels) -> float | None:
    """MS-SSIM over RGB, None where pytorch-msssim is not here or the picture is too small."""
    if not HAS_MS_SSIM or min(first.shape[:2]) < SMALLEST_MS_SSIM:
        return None
    import pytorch_msssim

    a, b = (torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].float() for p in (first, second))
    return float(pytorch_msssim.ms_ssim(a, b, data_range=255.0))


def quality_of(pixels: Pixels, decoded: Pixels, size: int) -> Row:
    """Bits per pixel and distortion of one decoded picture."""
    return {
        "bpp": 8 * size / (pixels.shape[0] * pixels.shape[1]),
        "psnr": common.psnr(pixels, decoded),
        "ms_ssim": ms_ssim(pixels, decoded),
    }


@dataclass(frozen=True)
class Bench:
    """The codec as users have it, and its networks and CompressAI's model to look inside."""

    codec: Codec
    usual: Codec  # in the precision that users get
    inside: BaseCodec
    model: Any

    @classmethod
    def load(cls, base: str, precision: str) -> Bench:
        inside = registry.load(base, dtype=getattr(torch, precision))
        codecs = Codec(base, precision=precision), Codec(base)
        return cls(*codecs, inside, reference.load(base, 0))


def coded_bits(data: bytes) -> int:
    """Bits of all coded segments of a file without explicit masks."""
    return 8 * (len(data) - container.overhead(data))


def plain(bench: Bench, pixels: Pixels, quality: float) -> Row:
    """One picture at one quality, without a task."""
    data = bench.codec.encode(pixels, quality=quality, strip=True).data
    decoded = bench.codec.decode(data).picture.pixels
    row = quality_of(pixels, decoded, len(data)) | {"overhead": container.overhead(data)}
    row |= {"coded_bits": coded_bits(data), **against_model(bench, pixels, quality)}
    return row | {"symbols_add_up": common.symbols(data) == row["coded"]}


@torch.no_grad()
def against_model(bench: Bench, pixels: Pixels, quality: float) -> Row:
    """What the float model makes of the picture, and the integer stage beside it."""
    codec, units = bench.inside, round(quality * QUALITY_UNIT)
    y = codec.analysis(to_input(pixels, codec.device))
    area = area_of(pixels.shape[1], pixels.shape[0], (1, 1))
    quantised = latent.quantise(codec, y, area, units, None)
    gain, _ = codec.gains(units)
    y = y * gain[:, None, None]
    z = codec.hyper_analysis(y)
    of_y, of_z = reference.likelihoods(bench.model, y, z)
    rows, columns = quantised.symbols.shape[1:]
    coded = quantised.coded
    model_bits = _bits(of_y[0, :, :rows, :columns][coded]), _bits(of_z)
    return {
        "elements": coded.numel(),
        "coded": int(coded.sum()),
        "model_bits": sum(model_bits),
        "model_hyper_bits": model_bits[1],
        **against_float_stage(bench, quantised, y),
    }


def against_float_stage(bench: Bench, quantised: Quantised, y: Tensor) -> Row:
    """Indexes that the integer stage moves, and ideal code lengths with its parameters or float."""
    entropy, rows, columns = bench.inside.entropy, *quantised.symbols.shape[1:]
    z_hat = quantised.z_symbols + entropy.z_medians[:, None, None] * 2.0**-8
    scale, mean = (part[0, :, :rows, :columns] for part in bench.model.h_s(z_hat[None]).chunk(2, 1))
    symbols = torch.round(y[0, :, :rows, :columns] - mean).int()
    coded = quantised.coded
    integer = quantised.symbols[coded], quantised.prior.index[coded]
    stages = compare_stages(entropy.y_tables, integer, (symbols[coded], scale[coded]))
    return stages | {"moved": int((scale_index(scale) != quantised.prior.index).sum())}


def _bits(likelihoods: Tensor) -> float:
    return -float(likelihoods.double().log2().sum())


def searched(bench: Bench, pixels: Pixels, quality: float) -> Row:
    """One picture at one quality, encoded with more effort in the usual precision."""
    start = time.process_time()
    data = bench.usual.encode(pixels, quality=quality, strip=True, effort=EFFORT).data
    seconds = time.process_time() - start
    decoded = bench.usual.decode(data).picture.pixels
    return quality_of(pixels, decoded, len(data)) | {"encode_cpu_seconds": seconds}


def other(name: str, pixels: Pixels, quality: int) -> Row:
    """One picture through one of Pillow's codecs."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name, quality=quality, **OTHERS[name][0])
    decoded = np.asarray(Image.open(file).convert("RGB"))
    return quality_of(pixels, decoded, len(file.getvalue()))


def plain_row(quality: float, rows: Sequence[Row]) -> Row:
    """All pictures of one quality; differences in percent."""
    coded, model, integer, floating = (
        sum(row[key] for row in rows)
        for key in ("coded_bits", "model_bits", "integer_stage_bits", "float_stage_bits")
    )
    worst = max((row["coded_bits"] / row["model_bits"] - 1 for row in rows), key=abs)
    return {
        "quality": quality,
        **_means(rows),
        "hyper_share": sum(row["model_hyper_bits"] for row in rows) / model,
        "coded_against_model_percent": 100 * (coded / model - 1),
        "coded_against_model_percent_worst": 100 * worst,
        "integer_stage_percent": 100 * (integer / floating - 1),
        "indexes_moved_percent": 100 * common.share(rows, "moved", "elements"),
        "skipped_percent": 100 * (1 - common.share(rows, "coded", "elements")),
        "symbols_add_up": sum(row["symbols_add_up"] for row in rows),
        "overhead": common.mean_and_most(rows, "overhead"),
    }


def _means(rows: Sequence[Row]) -> Row:
    known = [key for key in ("bpp", "psnr", "ms_ssim") if rows[0][key] is not None]
    return {key: common.mean([row[key] for row in rows]) for key in known}


def published(path: Path) -> Row | None:
    """CompressAI's published curve, None where the file is not here."""
    if not path.exists():
        return None
    curve = json.loads(path.read_text())["curves"][PUBLISHED_CURVE]
    return {"bpp": curve["bpp"], "psnr": curve["psnr-rgb"], "ms_ssim": curve["ms-ssim-rgb"]}


def bd_rates(own: Row, others: dict[str, Row]) -> Row:
    """Bits in percent that icmh takes more (or less) than each other codec at the same quality."""
    return {
        name: {"psnr": bd_rate(own, o, "psnr"), "ms_ssim": bd_rate(own, o, "ms_ssim")}
        for name, o in others.items()
    }


def bd_rate(own: Row, anchor: Row, metric: str) -> float | None:
    """BD-rate over the common range of a metric; None where there is none."""
    curves = [
        (curve["bpp"], _decibels(curve[metric], metric))
        for curve in (anchor, own)
        if metric in curve
    ]
    if len(curves) < 2 or min(len(curve[0]) for curve in curves) < 4:
        return None
    if max(min(c[1]) for c in curves) >= min(max(c[1]) for c in curves):
        return None
    value = bjontegaard.bd_rate(
        *curves[0], *curves[1], method="pchip", require_matching_points=False, min_overlap=0
    )
    return float(value)


def _decibels(values: Iterable[float], metric: str) -> list[float]:
    if metric == "psnr":
        return list(values)
    return [-10 * float(np.log10(1 - value)) for value in values]


def curve_of(rows: Sequence[Row]) -> Row:
    """Rows of rising rate as lists by name."""
    keys = [key for key in ("quality", "bpp", "psnr", "ms_ssim") if key in rows[0]]
    return {key: [row[key] for row in rows] for key in keys}


def measure(bench: Bench, path: Path, effort: bool = True) -> dict[str, list[Row]]:
    """All rows of one picture, in the order of the qualities and the grids of OTHERS."""
    pixels = common.read(path)
    rows = {"plain": [plain(bench, pixels, quality) for quality in QUALITIES]}
    if effort:
        rows["searched"] = [searched(bench, pixels, quality) for quality in SEARCHED]
    for name, (_, grid) in OTHERS.items():
        rows[name] = [other(name, pixels, quality) for quality in grid]
    return rows


def summarise(pictures: Sequence[dict[str, list[Row]]]) -> Row:
    """The rows of all pictures as means and sums, and the BD-rates."""

    def columns(name: str) -> Iterable[tuple[Row, ...]]:
        return zip(*(picture[name] for picture in pictures), strict=True)

    own = [plain_row(q, rows) for q, rows in zip(QUALITIES, columns("plain"), strict=True)]
    others = {}
    for name, (settings, grid) in OTHERS.items():
        points = [{"quality": q, **_means(r)} for q, r in zip(grid, columns(name), strict=True)]
        others[name] = {"settings": settings, **curve_of(points)}
    if (known := published(PUBLISHED)) is not None:
        others["mbt2018-mean (published)"] = known
    results = {
        "icmh": own,
        "others": others,
        "bd_rate_percent": bd_rates(curve_of(own), others),
    }
    if "searched" in pictures[0]:
        against = others | {"icmh, effort 1": curve_of(own)}
        results["searched"] = _more_effort(list(columns("searched")), against)
    return results


def _more_effort(columns: Sequence[Sequence[Row]], against: dict[str, Row]) -> Row:
    rows = [
        {"quality": q, **_means(r), "encode_cpu_seconds": _seconds(r)}
        for q, r in zip(SEARCHED, columns, strict=True)
    ]
    rates = bd_rates(curve_of(rows), against)
    return {"effort": EFFORT, "rows": rows, "bd_rate_percent": rates}


def _seconds(rows: Sequence[Row]) -> float:
    return common.mean([row["encode_cpu_seconds"] for row in rows])


_bench: Bench


def _start(base: str, precision: str) -> None:
    global _bench
    torch.set_num_threads(1)
    _bench = Bench.load(base, precision)


def _run(path: Path, effort: bool) -> dict[str, list[Row]]:
    return measure(_bench, path, effort)


@click.command(help="Rate, distortion and where the bits go, on Kodak pictures.")
@click.option("--kodak", type=click.Path(path_type=Path), default=common.KODAK)
@click.option("--output", type=click.Path(path_type=Path), default=common.RESULTS / "rate.json")
@click.option("--base", default=DEFAULT_BASE, show_default=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32")
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures.")
@click.option("--effort/--no-effort", default=True, help="Also with more effort of the encoder.")
def main(
    kodak: Path, output: Path, base: str, precision: str, limit: int | None, effort: bool
) -> None:
    paths = common.pictures(kodak, limit)
    settings = {"pictures": len(paths), "precision": precision}
    settings |= common.weights(registry.load(base), [])
    context = multiprocessing.get_context("spawn")
    with (
        Progress() as progress,
        ProcessPoolExecutor(os.cpu_count(), context, _start, (base, precision)) as pool,
    ):
        done = pool.map(partial(_run, effort=effort), paths)
        measured = list(progress.track(done, len(paths), description="pictures"))
    results = {"settings": settings, "machine": common.machine(), **summarise(measured)}
    common.write_json(output, results)
    print(json.dumps(common.rounded(results["bd_rate_percent"]), indent=1))


if __name__ == "__main__":
    main()
