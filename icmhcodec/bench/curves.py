"""Points of curves, their upper envelope, Bjontegaard's deltas, and intervals over pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from icmhcodec.bench.contract import Observation
from icmhcodec.errors import IcmhError, UsageError

Floats = npt.NDArray[np.float64]
Indexes = npt.NDArray[np.int64]

ORIGINAL = "original"
USUAL_ANCHORS = {"jpeg", "avif", "x265", "all-intra"}
LOWER_IS_BETTER = {"lpips"}
# Piecewise and without overshoot: between two points it never leaves what they span.
METHOD = "pchip"
MIN_POINTS = 3
# Share of the shorter curve's range that both curves must cover for a number to mean something.
MIN_OVERLAP = 0.2
LOW_OVERLAP = 0.75  # below it the note says what the number covers
# Share of the resamples in which a delta must exist for its interval to be given.
MIN_RESAMPLES = 0.9


class Judge(Protocol):
    """What sums up the observations of a network, on pictures or on clips."""

    name: str
    task: str
    fingerprint: str

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Metrics in percent over these observations."""


@dataclass(frozen=True)
class Trace:
    """One point of a curve over sets of pictures: `bpp` and each metric are float64 [sets].

    Set 0 is every picture once, the others are bootstrap resamples, the same for all traces.
    NaN and infinity stand where a set gives no value.
    """

    bpp: Floats
    metrics: Mapping[str, Floats]


@dataclass(frozen=True)
class Delta:
    """Difference of a curve to an anchor: `rate` in percent, `metric` in the metric's unit.

    None where there is none, and `note` says why. `overlap` is the share of the shorter range
    that both curves cover: of the metric for `rate`, of log bits for `metric`.
    """

    rate: float | None
    metric: float | None
    overlap: float | None
    overlap_bpp: float | None
    note: str


def split_name(curve: str) -> tuple[str, str, str]:
    """Codec, profile and view of a curve's name."""
    parts = curve.rsplit("/", 2)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else (curve, "plain", "human")


def common_points(
    observations: Sequence[Observation],
) -> dict[tuple[str, float], list[Observation]]:
    """Observations by curve and point, each over the same pictures in the same order.

    A picture that is missing at any point is left out at all: curves are compared on equal terms.
    Points are in order of their bits. Raises IcmhError where no picture is left.
    """
    points: dict[tuple[str, float], dict[str, Observation]] = {}
    for seen in observations:
        points.setdefault((seen.curve, seen.point), {})[seen.sample] = seen
    shared = set.intersection(*map(set, points.values())) if points else set()
    if not shared:
        raise IcmhError("no picture was measured at every point of every curve; see the failures")
    names = sorted(shared)
    curves = list(dict.fromkeys(curve for curve, _ in points))
    kept = {key: [by_name[name] for name in names] for key, by_name in points.items()}
    ordered = sorted(
        kept, key=lambda key: (curves.index(key[0]), sum(o.bytes for o in kept[key]), key[1])
    )
    return {key: kept[key] for key in ordered}


def resample(pictures: int, resamples: int, seed: int) -> Indexes:
    """Sets of pictures, int64 [1 + resamples, pictures]: all of them, then draws with repetition.

    Bootstrap over pictures (B. Efron, 1979); one draw serves all curves, so differences are paired.
    """
    draws = np.random.default_rng(seed).integers(0, pictures, (resamples, pictures))
    return np.concatenate([np.arange(pictures)[None], draws])


def trace(
    observations: Sequence[Observation],
    sets: Indexes,
    network: Judge | None,
    tick: Callable[[], None] = lambda: None,
) -> Trace:
    """Bits per pixel and metrics of one point's pictures over each of the sets, int64 [sets, n].

    bpp is the sum of bits over the sum of pixels; PSNR is the mean over pictures of each one's
    PSNR; MS-SSIM and LPIPS are means over the pictures that have them; `ms_ssim_db` is
    -10 log10(1 - MS-SSIM) of that mean. `tick` is called after each set's task metric.
    """
    bits = np.array([8.0 * seen.bytes for seen in observations])
    pixels = np.array([float(seen.pixels) for seen in observations])
    metrics = _human(observations, sets)
    if network is not None and all(seen.task is not None for seen in observations):
        metrics = _task(observations, sets, network, tick) | metrics
    return Trace(bits[sets].sum(1) / pixels[sets].sum(1), metrics)


def _human(observations: Sequence[Observation], sets: Indexes) -> dict[str, Floats]:
    with np.errstate(divide="ignore"):  # a picture without loss has infinite PSNR
        found = {}
        for name in dict.fromkeys(name for seen in observations for name in seen.human):
            values = np.array([float(seen.human.get(name, np.nan)) for seen in observations])
            if name == "mse":
                found["psnr"] = _means(10 * np.log10(255**2 / values), sets)
            else:
                found[name] = _means(values, sets)
        if "ms_ssim" in found:
            found["ms_ssim_db"] = -10 * np.log10(1 - found["ms_ssim"])
    return found


def _means(values: Floats, sets: Indexes) -> Floats:
    known = ~np.isnan(values)[sets]
    with np.errstate(invalid="ignore"):  # 0 / 0 where a set holds no known value: NaN is meant
        mean: Floats = np.where(known, values[sets], 0).sum(1) / known.sum(1)
    return mean


def _task(
    observations: Sequence[Observation],
    sets: Indexes,
    network: Judge,
    tick: Callable[[], None],
) -> dict[str, Floats]:
    kept = [seen.task for seen in observations if seen.task is not None]
    found: list[dict[str, float]] = []
    for chosen in sets:
        found.append(network.metric([kept[i] for i in chosen]))
        tick()
    return {name: np.array([values.get(name, np.nan) for values in found]) for name in found[0]}


def envelope(bpp: Floats, metric: Floats) -> Indexes:
    """Indexes of the upper envelope, in order of bits: points better than all that cost no more.

    Both axes are strictly increasing along it, as interpolation needs; accuracy over bits is often
    not. Points without a finite value are left out.
    """
    usable = np.flatnonzero(np.isfinite(bpp) & np.isfinite(metric) & (bpp > 0))
    order = usable[np.lexsort((-metric[usable], bpp[usable]))]
    best = np.maximum.accumulate(np.concatenate([[-np.inf], metric[order]]))
    kept: Indexes = order[metric[order] > best[:-1]]
    return kept


def compare(
    test: tuple[Floats, Floats], anchor: tuple[Floats, Floats], name: str, method: str = METHOD
) -> Delta:
    """Bjontegaard's deltas of a curve to an anchor, each given as bpp [points], metric [points].

    `rate` above zero: the curve needs more bits than the anchor for the same metric. It is computed
    over the upper envelopes by the `bjontegaard` package (G. Bjontegaard, VCEG-M33, 2001; `method`
    "pchip", "akima" or his "cubic"); nothing is extrapolated. `name` is the metric's.
    """
    sign = -1.0 if name in LOWER_IS_BETTER else 1.0
    notes, kept = [], []
    for who, (bpp, metric) in (("curve", test), ("anchor", anchor)):
        best = envelope(bpp, sign * metric)
        kept.append((bpp[best], sign * metric[best]))
        if len(best) < len(bpp):
            notes.append(f"{len(best)} of {len(bpp)} points of the {who} form its upper envelope")
    least = max(MIN_POINTS, 4) if method == "cubic" else MIN_POINTS
    if min(len(bpp) for bpp, _ in kept) < least:
        notes.append(f"no comparison: {least} points of each curve are needed")
        return Delta(None, None, None, None, "; ".join(notes))
    (test_bpp, test_metric), (anchor_bpp, anchor_metric) = kept
    overlap = _overlap(test_metric, anchor_metric)
    overlap_bpp = _overlap(np.log10(test_bpp), np.log10(anchor_bpp))
    for what, share, axis, a, b in (
        ("BD-rate", overlap, name, sign * test_metric, sign * anchor_metric),
        ("BD-metric", overlap_bpp, "bpp", test_bpp, anchor_bpp),
    ):
        if share < LOW_OVERLAP:
            begin = f"no {what}: " if share < MIN_OVERLAP else f"{what}: "
            notes.append(begin + _shared(share, axis, a, b))
    rate, gain = _deltas(kept[1], kept[0], overlap, overlap_bpp, method)
    gain = None if gain is None else sign * gain
    return Delta(rate, gain, overlap, overlap_bpp, "; ".join(notes))


def _overlap(a: Floats, b: Floats) -> float:
    """Share of the shorter of two ranges that both cover; a and b are increasing."""
    common = min(a[-1], b[-1]) - max(a[0], b[0])
    return max(float(common / min(a[-1] - a[0], b[-1] - b[0])), 0.0)


def _shared(share: float, name: str, a: Floats, b: Floats) -> str:
    spans = " and ".join(f"{min(side):.4g} to {max(side):.4g}" for side in (a, b))
    if share == 0:
        return f"the curves share no {name} ({spans})"
    return f"the curves share {share * 100:.0f} % of the shorter range of {name} ({spans})"


def _deltas(
    anchor: tuple[Floats, Floats],
    test: tuple[Floats, Floats],
    overlap: float,
    overlap_bpp: float,
    method: str,
) -> tuple[float | None, float | None]:
    try:
        from bjontegaard import bd_psnr, bd_rate
    except ImportError as error:
        message = "BD-rates need the package bjontegaard; pip install 'icmhcodec[bench]'"
        raise UsageError(message) from error
    settings = {"method": method, "require_matching_points": False, "min_overlap": 0}
    rate = float(bd_rate(*anchor, *test, **settings)) if overlap >= MIN_OVERLAP else None
    metric = float(bd_psnr(*anchor, *test, **settings)) if overlap_bpp >= MIN_OVERLAP else None
    return rate, metric


def interval(values: Sequence[float | None] | Floats) -> tuple[float, float] | None:
    """Bootstrap 95 % interval (percentiles) of the values over resamples.

    None where there are no resamples, or too few of them gave a value (MIN_RESAMPLES).
    """
    known = np.array([v for v in values if v is not None and np.isfinite(v)], np.float64)
    if not len(values) or len(known) < MIN_RESAMPLES * len(values):
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def curves_of(name: str, curves: Sequence[str]) -> list[str]:
    """The curves that a curve's or a codec's name stands for."""
    return [curve for curve in curves if name in (curve, split_name(curve)[0])]


def choose_anchors(curves: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Curves to compare with: those `wanted` by curve or codec name, in that order.

    By default JPEG and AVIF, then both on shrunk pictures, of clips x265 and our own I
    frames alone, or else the first curve. Raises UsageError for a name that no curve has.
    """
    if not wanted:
        parts = {curve: split_name(curve) for curve in curves}
        plain = [curve for curve, (_, profile, _) in parts.items() if profile == "plain"]
        usual = [curve for curve in plain if parts[curve][0].split("@")[0] in USUAL_ANCHORS]
        return sorted(usual, key=lambda c: "@" in c) or list(curves[:1])
    chosen: dict[str, None] = {}
    for name in wanted:
        found = curves_of(name, curves)
        if not found:
            raise UsageError(f"no curve {name!r} to compare with; there are {', '.join(curves)}")
        chosen.update(dict.fromkeys(found))
    return list(chosen)
