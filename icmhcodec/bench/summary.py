"""What a benchmark run found, as one dictionary: the JSON of `icmh bench --json`."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from icmhcodec.bench import cache as caching
from icmhcodec.bench.cache import Cache
from icmhcodec.bench.contract import Dataset, Observation
from icmhcodec.bench.curves import (
    METHOD,
    MIN_OVERLAP,
    MIN_POINTS,
    ORIGINAL,
    Delta,
    Indexes,
    Judge,
    Trace,
    choose_anchors,
    common_points,
    compare,
    curves_of,
    interval,
    resample,
    split_name,
    trace,
)
from icmhcodec.bench.datasets.video import LAYOUTS as CLIP_LAYOUTS

SCHEMA = "icmh-bench/1"
SCHEMA_FILE = Path(__file__).with_name("schema.json")
# MS-SSIM near 1 is compared in dB, as is usual.
NOT_COMPARED = {"ms_ssim"}
PACKAGES = (
    "icmhcodec",
    "torch",
    "compressai",
    "numpy",
    "pillow",
    "pillow-heif",
    "pillow-jxl-plugin",
    "onnxruntime",
    "pycocotools",
    "pytorch-msssim",
    "lpips",
    "bjontegaard",
    "scipy",
)
METRIC_PACKAGES = ("icmhcodec", "numpy", "pycocotools")
COMPARISON_PACKAGES = ("icmhcodec", "numpy", "scipy", "bjontegaard")


def summarise(
    observations: Sequence[Observation],
    *,
    dataset: Dataset,
    network: Judge | None,
    command: str,
    failures: Sequence[Mapping[str, Any]],
    fingerprints: Mapping[str, Mapping[str, str]] | None = None,
    anchors: Sequence[str] = (),
    seed: int = 0,
    resamples: int = 200,
    cache: Cache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Rows, comparisons and conditions of a run; `schema.json` and docs/bench.md describe it.

    `failures` are copied as they are; `fingerprints`: by codec what `ComparedCodec.identity` gave;
    `anchors`: curves or codecs to compare with; those without a curve, as they failed, are left
    out, and the usual ones stand in where none is left; `resamples`: bootstrap sets for the 95 %
    intervals (0: none), whose results `cache` keeps; `progress(done, total)` is called while they
    are computed. Deterministic but for times and machine. Raises IcmhError where no picture was
    measured at every point.
    """
    points = common_points(observations)
    pictures = next(iter(points.values()))
    sets = resample(len(pictures), resamples, seed)
    clips = dataset.layout in CLIP_LAYOUTS
    curves = list(dict.fromkeys(curve for curve, _ in points if curve != ORIGINAL))
    chosen = choose_anchors(curves, [name for name in anchors if curves_of(name, curves)])
    pairs = [(curve, anchor) for curve in curves for anchor in chosen if curve != anchor]
    # A set of one point and a comparison of two curves are of similar cost.
    tick = _counter(len(points) * len(sets) * (network is not None) + len(pairs), progress)
    about = {
        "seed": seed,
        "resamples": resamples,
        "network": network and network.fingerprint,
        "versions": caching.versions(METRIC_PACKAGES),
    }
    traces = {key: _traced(seen, sets, network, about, cache, tick) for key, seen in points.items()}
    return {
        "schema": SCHEMA,
        "command": command,
        "machine": machine(),
        "versions": caching.versions(PACKAGES),
        "dataset": {
            "name": dataset.name,
            "layout": dataset.layout,
            "images": sum(seen.frames for seen in pictures),
            **({"clips": len(pictures)} if clips else {}),
            "pixels": sum(seen.pixels for seen in pictures),
            "left_out": len(dataset.samples) - len(pictures),
        },
        "network": network and {"id": network.name, "fingerprint": network.fingerprint},
        "task": network and network.task,
        "fingerprints": {name: dict(kept) for name, kept in (fingerprints or {}).items()},
        "settings": {
            "seed": seed,
            "resamples": resamples,
            "anchors": chosen,
            "interpolation": METHOD,
            "min_points": MIN_POINTS,
            "min_overlap": MIN_OVERLAP,
        },
        "rows": [_row(key, seen, traces[key], clips) for key, seen in points.items()],
        "bd": [entry for pair in pairs for entry in _compared(pair, traces, cache, tick)],
        "failures": [dict(failure) for failure in failures],
    }


def _counter(total: int, progress: Callable[[int, int], None] | None) -> Callable[[], None]:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return tick


def _remembered(
    cache: Cache | None, settings: Mapping[str, Any], compute: Callable[[], Any]
) -> Any:
    """What `compute` gives, as JSON has it, or gave before with the same settings."""
    if cache is None:
        return compute()
    name = caching.key(settings)
    known = cache.get(name)
    if known is not None:
        return json.loads(known)
    value = compute()
    cache.put(name, json.dumps(value))
    return value


def _traced(
    seen: Sequence[Observation],
    sets: Indexes,
    network: Judge | None,
    about: Mapping[str, Any],
    cache: Cache | None,
    tick: Callable[[], None],
) -> Trace:
    left = len(sets) if network is not None else 0

    def step() -> None:
        nonlocal left
        left -= 1
        tick()

    def compute() -> list[Any]:
        return _listed(trace(seen, sets, network, step))

    settings = {"trace": [asdict(one) for one in seen], **about}
    bpp, metrics = _remembered(cache, settings, compute)
    for _ in range(left):
        tick()
    return Trace(np.array(bpp), {name: np.array(values) for name, values in metrics.items()})


def _listed(found: Trace) -> list[Any]:
    return [found.bpp.tolist(), {name: values.tolist() for name, values in found.metrics.items()}]


def _row(
    key: tuple[str, float], seen: Sequence[Observation], found: Trace, clips: bool
) -> dict[str, Any]:
    curve, point = key
    codec, profile, view = split_name(curve)
    return {
        "curve": curve,
        "codec": codec,
        "profile": profile,
        "task": view,
        "point": point,
        "bpp": float(found.bpp[0]),
        "bytes": sum(one.bytes for one in seen),
        "metrics": {name: _finite(values[0]) for name, values in found.metrics.items()},
        "ci95": {
            name: _pair(interval(values[1:])) if np.isfinite(values[0]) else None
            for name, values in found.metrics.items()
        },
        "encode_s": statistics.median(one.encode_s / one.frames for one in seen),
        "decode_s": statistics.median(one.decode_s / one.frames for one in seen),
        **(_speeds(seen) if clips else {}),
        "peak_mb": max(one.peak_mb for one in seen),
    }


def _speeds(seen: Sequence[Observation]) -> dict[str, float | None]:
    """Frames per second over all clips, None where no time was taken."""
    frames = sum(one.frames for one in seen)
    seconds = {
        "encode_fps": sum(one.encode_s for one in seen),
        "decode_fps": sum(one.decode_s for one in seen),
    }
    return {name: frames / value if value else None for name, value in seconds.items()}


def _compared(
    pair: tuple[str, str],
    traces: Mapping[tuple[str, float], Trace],
    cache: Cache | None,
    tick: Callable[[], None],
) -> list[dict[str, Any]]:
    """Comparisons of one curve with one anchor, one for each metric that both have."""
    test, anchor = ([found for key, found in traces.items() if key[0] == name] for name in pair)
    names = [
        name
        for name in dict.fromkeys(name for found in test for name in found.metrics)
        if name not in NOT_COMPARED and any(name in found.metrics for found in anchor)
    ]
    points = [[_listed(found) for found in side] for side in (test, anchor)]
    entries: list[dict[str, Any]] = _remembered(
        cache,
        {
            "compare": pair,
            "points": points,
            "rules": [METHOD, MIN_POINTS, MIN_OVERLAP],
            "versions": caching.versions(COMPARISON_PACKAGES),
        },
        lambda: [_entry(pair, name, test, anchor) for name in names],
    )
    tick()
    return entries


def _entry(
    pair: tuple[str, str], name: str, test: Sequence[Trace], anchor: Sequence[Trace]
) -> dict[str, Any]:
    sides = [
        (
            np.array([found.bpp for found in side]),
            np.array([found.metrics.get(name, np.full_like(found.bpp, np.nan)) for found in side]),
        )
        for side in (test, anchor)
    ]

    def delta(number: int) -> Delta:
        curve, other = ((bpp[:, number], metric[:, number]) for bpp, metric in sides)
        return compare(curve, other, name)

    whole = delta(0)
    draws: list[Delta] = []
    if whole.rate is not None or whole.metric is not None:
        draws = [delta(number) for number in range(1, sides[0][0].shape[1])]
    ci95 = None if whole.rate is None else interval([one.rate for one in draws])
    ci95_metric = None if whole.metric is None else interval([one.metric for one in draws])
    note = whole.note
    if draws and whole.rate is not None and ci95 is None:
        known = sum(one.rate is not None for one in draws)
        reason = f"no interval: {known} of {len(draws)} resamples have a BD-rate"
        note = f"{note}; {reason}" if note else reason
    return {
        "curve": pair[0],
        "codec": split_name(pair[0])[0],
        "anchor": pair[1],
        "metric": name,
        "bd_rate_percent": whole.rate,
        "bd_metric": whole.metric,
        "ci95": _pair(ci95),
        "ci95_metric": _pair(ci95_metric),
        "overlap": whole.overlap,
        "overlap_bpp": whole.overlap_bpp,
        "note": note,
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _pair(values: tuple[float, float] | None) -> list[float] | None:
    return None if values is None else list(values)


def machine() -> dict[str, Any]:
    """What the run was made on, without names of hosts or users."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
