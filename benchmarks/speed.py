"""Time and memory of icmh beside CompressAI's own compress and decompress.

Both sides have the same weights at the same quality, start from the same uint8 pixels with their
networks loaded, and give bytes, then pixels again. They run in alternating pairs; a ratio is the
median over the pairs. Stages are timed one by one. Memory is the peak of a process of its own
(VmHWM) that loads the networks and codes. Whole processes of the command line are timed beside
`python -c "import torch"`. Decoding for tasks is timed beside decoding for people, predictors
beside the hyper-decoder. At last, what bfloat16 transforms lose in PSNR.

    python -m benchmarks.speed
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from benchmarks import cases, common, reference
from benchmarks.common import Pixels
from icmhcodec import container
from icmhcodec.codecs import registry
from icmhcodec.codecs.contract import QUALITY_UNIT, BaseCodec
from icmhcodec.container import HUMAN, Group
from icmhcodec.masks.predictor import Condition
from icmhcodec.pipeline import latent
from icmhcodec.pipeline.area import area_of
from icmhcodec.pipeline.codec import DEFAULT_BASE, Codec
from icmhcodec.pipeline.latent import LayerToDecode, Request
from icmhcodec.pipeline.networks import reference_of
from icmhcodec.pipeline.tensors import to_input, to_pixels

PRECISIONS = ("float32", "bfloat16")
REFERENCE = "CompressAI"
OPERATIONS = ("encode", "decode")
WHOLE_RUNS = 9

Row = dict[str, Any]
Times = dict[str, list[float]]
Result = TypeVar("Result")


class Icmh:
    """icmh as users of the library have it."""

    def __init__(self, base: str, quality: float, precision: str) -> None:
        self.codec, self.quality = Codec(base, precision=precision), quality

    def encode(self, pixels: Pixels) -> bytes:
        return self.codec.encode(pixels, quality=self.quality).data

    def decode(self, data: bytes) -> Pixels:
        return self.codec.decode(data).picture.pixels


class CompressAI:
    """CompressAI's model with the same weights."""

    def __init__(self, base: str, quality: float) -> None:
        self.network = reference.load(base, quality)

    @torch.no_grad()
    def encode(self, pixels: Pixels) -> tuple[Any, tuple[int, ...]]:
        code = self.network.compress(to_input(pixels, torch.device("cpu")))
        return code, pixels.shape

    @torch.no_grad()
    def decode(self, coded: tuple[Any, tuple[int, ...]]) -> Pixels:
        code, (height, width, channels) = coded
        decoded = self.network.decompress(**code)["x_hat"]
        return to_pixels(decoded, width, height, channels)


def load(side: str, base: str, quality: float) -> Any:
    """One side by its name: CompressAI, float32 or bfloat16."""
    return CompressAI(base, quality) if side == REFERENCE else Icmh(base, quality, side)


def timed(times: Times, name: str, function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function and note the seconds it took."""
    start = time.perf_counter()
    result = function(*arguments)
    times[name].append(time.perf_counter() - start)
    return result


def pairs(base: str, quality: float, photos: Sequence[Pixels], track: Any) -> list[Row]:
    """Encode and decode each picture with both sides, one right after the other."""
    sides = {side: load(side, base, quality) for side in (REFERENCE, *PRECISIONS)}
    for side in sides.values():  # kernels are chosen and memory is taken at the first call
        side.decode(side.encode(photos[0]))
    rows = []
    for precision in PRECISIONS:
        times: Times = defaultdict(list)
        for number, pixels in enumerate(track(photos, f"q {quality:g}, {precision}")):
            order = (REFERENCE, precision) if number % 2 else (precision, REFERENCE)
            gc.collect()
            codes = {
                side: timed(times, f"{side} encode", sides[side].encode, pixels) for side in order
            }
            for side in order:
                timed(times, f"{side} decode", sides[side].decode, codes[side])
        rows += [_pair_row(quality, precision, name, times) for name in OPERATIONS]
    return rows


def _pair_row(quality: float, precision: str, operation: str, times: Times) -> Row:
    own, other = times[f"{precision} {operation}"], times[f"{REFERENCE} {operation}"]
    return {
        "quality": quality,
        "precision": precision,
        "operation": operation,
        "seconds": common.median(own),
        "reference_seconds": common.median(other),
        "ratio": common.median([a / b for a, b in zip(own, other, strict=True)]),
    }


@torch.no_grad()
def stages(base: str, quality: float, photos: Sequence[Pixels], track: Any) -> dict[str, Row]:
    """Median seconds of each stage, the coder's lists and checks included."""
    codecs = {p: registry.load(base, dtype=getattr(torch, p)) for p in PRECISIONS}
    network = reference.load(base, quality)
    times: dict[str, Times] = {side: defaultdict(list) for side in (REFERENCE, *PRECISIONS)}
    for number, pixels in enumerate([photos[0], *track(photos, f"q {quality:g}, stages")]):
        if number == 1:  # the first picture came once to warm up
            times = {side: defaultdict(list) for side in times}
        for precision, codec in codecs.items():
            _own_stages(times[precision], codec, quality, pixels)
        _reference_stages(times[REFERENCE], network, pixels)
    return {
        side: {stage: common.median(seconds) for stage, seconds in parts.items()}
        for side, parts in times.items()
    }


def _own_stages(times: Times, codec: BaseCodec, quality: float, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    units = round(quality * QUALITY_UNIT)
    y = timed(times, "analysis", codec.analysis, to_input(pixels, codec.device))
    gained = y * codec.gains(units)[0][:, None, None]
    z = timed(times, "hyper-analysis", codec.hyper_analysis, gained)
    z_symbols = codec.entropy.hyper_symbols(z[0])
    timed(times, "entropy parameters", codec.entropy.parameters, z_symbols)
    area = area_of(width, height, (1, 1))
    quantised = latent.quantise(codec, y, area, units, None)

    def encode() -> tuple[tuple[bytes, ...], list[latent.Coded]]:
        layers = latent.encode_layers(codec, quantised, area, 0, [Request(HUMAN)])
        return latent.encode_hyper(codec, quantised.z_symbols), layers

    hyper, [(layer, data)] = timed(times, "coding", encode)
    crc = latent.hyper_crc(quantised.z_symbols)
    group = Group(reference_of(codec), units, quantised.skip, crc)

    def decode() -> Tensor:
        latent.decode_hyper(codec, group, hyper, width, height)
        found = [LayerToDecode(0, layer, data)]
        return latent.decode_symbols(codec, quantised.prior, {}, group, area, found)

    symbols = timed(times, "decoding", decode)
    y_hat = latent.values_of(codec, quantised.prior, symbols, area, units, area.region)
    timed(times, "synthesis", codec.synthesis, y_hat)


def _reference_stages(times: Times, network: Any, pixels: Pixels) -> None:
    """CompressAI's `compress` and `decompress`, cut into the same stages."""
    bottleneck, conditional = network.entropy_bottleneck, network.gaussian_conditional
    y = timed(times, "analysis", network.g_a, to_input(pixels, torch.device("cpu")))
    z = timed(times, "hyper-analysis", network.h_a, y)
    z_hat, _ = bottleneck(z)

    def parameters() -> tuple[Tensor, Tensor]:
        scale, mean = network.h_s(z_hat).chunk(2, 1)
        return mean, conditional.build_indexes(scale)

    mean, index = timed(times, "entropy parameters", parameters)

    def encode() -> tuple[Any, Any]:
        return bottleneck.compress(z), conditional.compress(y, index, means=mean)

    z_strings, y_strings = timed(times, "coding", encode)

    def decode() -> Tensor:
        bottleneck.decompress(z_strings, z.shape[-2:])
        y_hat: Tensor = conditional.decompress(y_strings, index, means=mean)
        return y_hat

    timed(times, "synthesis", network.g_s, timed(times, "decoding", decode))


@torch.no_grad()
def task_decodes(
    bases: Sequence[str], quality: float, photos: Sequence[Pixels], track: Any
) -> list[Row]:
    """Decoding for a task beside decoding for people, for every bundle of the base codecs.

    The picture for people is that of a file without tasks. A predictor, which derives a mask, is
    timed beside the hyper-decoder, both in integers and on the same picture. Pairs take turns.
    """
    rows = []
    for case in (case for base in bases for case in cases.single(base)):
        codec = Codec(case.base)
        times: Times = defaultdict(list)
        for turn, pixels in enumerate([photos[0], *track(photos, case.name)]):
            if turn == 1:  # the first picture came once to warm up
                times.clear()
            data = codec.encode(pixels, quality=quality, **case.options(pixels)).data
            plain = codec.encode(pixels, quality=quality).data
            task = container.parse(data).header.layers[0].task
            calls = [
                ("task", partial(codec.decode, data, task=task)),
                ("human", partial(codec.decode, plain)),
            ]
            for name, call in calls if turn % 2 else reversed(calls):
                timed(times, name, call)
            _predictor_pair(times, data, turn)
        rows.append(_task_row(case, quality, times))
    return rows


def _predictor_pair(times: Times, data: bytes, turn: int) -> None:
    """Time the predictor of a file's first layer, and the hyper-decoder, where it has one."""
    file = container.parse(data)
    header, layer = file.header, file.header.layers[0]
    if layer.predictor is None:
        return
    group, size = header.groups[layer.group], (header.width, header.height)
    codec = registry.load(group.codec.id)
    z_symbols = latent.decode_hyper(codec, group, file.hyper[layer.group], *size)
    prior = latent.prior_of(codec, z_symbols, *size)
    condition = Condition(group.quality, layer.level, max(size))
    latent.predicted(layer.predictor, prior, condition)  # it is loaded now
    calls = [
        ("predictor", partial(latent.predicted, layer.predictor, prior, condition)),
        ("h_s", partial(codec.entropy.parameters, z_symbols)),
    ]
    for name, call in calls if turn % 2 else reversed(calls):
        timed(times, name, call)


def _task_row(case: cases.Case, quality: float, times: Times) -> Row:
    def pair(own: str, other: str) -> Row:
        if not times[own]:
            return {}
        ratios = [a / b for a, b in zip(times[own], times[other], strict=True)]
        return {
            f"{own}_seconds": common.median(times[own]),
            f"{other}_seconds": common.median(times[other]),
            f"{own}_to_{other}": common.median(ratios),
        }

    about = {"base": case.base, "bundle": case.bundles[0], "profile": case.profile}
    return {
        **about,
        "weights": case.weights(),
        "quality": quality,
        **pair("task", "human"),
        **pair("predictor", "h_s"),
    }


def memory(
    base: str,
    quality: float,
    photos: Sequence[Pixels],
    sides: Sequence[str] = (REFERENCE, *PRECISIONS),
) -> list[Row]:
    """Memory in MiB of a process for each side and operation: networks loaded, and at most."""
    context = multiprocessing.get_context("spawn")
    rows = []
    for side in sides:
        coder = load(side, base, quality)
        inputs = {"encode": photos, "decode": [coder.encode(pixels) for pixels in photos]}
        for operation, items in inputs.items():
            with ProcessPoolExecutor(1, context) as process:
                sizes = process.submit(_memory, side, base, quality, operation, items).result()
            rows.append({"side": side, "operation": operation, **sizes})
    return rows


def _memory(side: str, base: str, quality: float, operation: str, items: Sequence[Any]) -> Row:
    call = getattr(load(side, base, quality), operation)
    loaded = _status("VmRSS")
    for item in items:
        call(item)
    # Not getrusage: its peak is inherited from the process that started this one.
    return {"loaded_mib": loaded, "peak_mib": _status("VmHWM")}


def _status(name: str) -> float:
    """A size in MiB that Linux tells of this process."""
    size = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert size is not None
    return int(size[1]) / 1024


def whole_processes(base: str, pixels: Pixels, task: str, runs: int, track: Any) -> Row:
    """Wall time in seconds of the command line, start of Python included."""
    codec = Codec(base)
    options = common.layered_options(registry.load(base), [task], pixels)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plain.icm").write_bytes(codec.encode(pixels).data)
        (folder / "photo.icm").write_bytes(codec.encode(pixels, **options).data)
        split = f"split photo.icm --task {task} -o part.icm --rest rest.icm --force"
        commands = {
            "import torch": ["-c", "import torch"],
            "decode": _icmh("decode plain.icm -o plain.png --force"),
            "--help": _icmh("--help"),
            "info": _icmh("info photo.icm"),
            "split": _icmh(split),
            "join": _icmh("join part.icm rest.icm -o whole.icm --force"),
        }
        times: Times = defaultdict(list)
        for number in track(range(runs + 1), "processes"):
            if number == 1:  # the first round filled the caches of the disk
                times.clear()
            for what, arguments in commands.items():
                timed(times, what, _spawn, arguments, folder)
    seconds = {what: common.median(values) for what, values in times.items()}
    beyond = [a - b for a, b in zip(times["decode"], times["import torch"], strict=True)]
    return {"runs": runs, "seconds": seconds, "decode_beyond_import": common.median(beyond)}


def _icmh(arguments: str) -> list[str]:
    return ["-m", "icmhcodec.cli", *arguments.split()]


def _spawn(arguments: Sequence[str], folder: Path) -> None:
    path = os.pathsep.join([str(common.ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def precision_loss(
    base: str, qualities: Sequence[float], photos: Sequence[Pixels], track: Any
) -> list[Row]:
    """What bfloat16 transforms, in encoder and decoder, cost in PSNR (dB) and bits (percent)."""
    codecs = {precision: Codec(base, precision=precision) for precision in PRECISIONS}
    rows = []
    for quality in qualities:
        quality_of: dict[str, list[float]] = defaultdict(list)
        size: dict[str, int] = defaultdict(int)
        for pixels in track(photos, f"q {quality:g}, loss of bfloat16"):
            for precision, codec in codecs.items():
                data = codec.encode(pixels, quality=quality).data
                decoded = codec.decode(data).picture.pixels
                quality_of[precision].append(common.psnr(pixels, decoded))
                size[precision] += len(data)
        losses = np.subtract(quality_of["float32"], quality_of["bfloat16"])
        rows.append(
            {
                "quality": quality,
                "psnr_loss": float(losses.mean()),
                "psnr_loss_worst": float(losses.max()),
                "more_bits_percent": 100 * (size["bfloat16"] / size["float32"] - 1),
            }
        )
    return rows


@click.command(help="Time and memory beside CompressAI's compress and decompress.")
@click.option("--kodak", type=click.Path(path_type=Path), default=common.KODAK)
@click.option("--output", type=click.Path(path_type=Path), default=common.RESULTS / "speed.json")
@click.option("--base", default=DEFAULT_BASE, show_default=True)
@click.option("--task", default="det", show_default=True)
@click.option("--qualities", default="4", show_default=True, callback=common.numbers)
@click.option("--loss-qualities", default="0,1,2,3,4,5,6,7,8,9", callback=common.numbers)
@click.option("--runs", type=click.IntRange(1), default=WHOLE_RUNS, help="Of whole processes.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures.")
def main(
    kodak: Path,
    output: Path,
    base: str,
    task: str,
    qualities: list[float],
    loss_qualities: list[float],
    runs: int,
    limit: int | None,
) -> None:
    photos = [common.read(path) for path in common.pictures(kodak, limit)]
    settings = {"pictures": len(photos)} | common.weights(registry.load(base), [task])
    with Progress() as progress:

        def track(items: Sequence[Any], description: str) -> Any:
            return progress.track(items, len(items), description=description)

        results = {
            "settings": settings,
            "machine": common.machine(),
            "pairs": [row for q in qualities for row in pairs(base, q, photos, track)],
            "stages": {f"q {q:g}": stages(base, q, photos, track) for q in qualities},
            "tasks": task_decodes(cases.packaged_bases(), qualities[0], photos, track),
            "memory": memory(base, qualities[0], photos[:4]),
            "processes": whole_processes(base, photos[0], task, runs, track),
            "bfloat16": precision_loss(base, loss_qualities, photos, track),
        }
    common.write_json(output, results)


if __name__ == "__main__":
    main()
