"""Names and sentences that the reports share: which metric counts, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HUMAN_METRICS = ("psnr", "ms_ssim", "ms_ssim_db", "lpips")
TITLES = {
    "psnr": "PSNR (dB)",
    "ms_ssim": "MS-SSIM",
    "ms_ssim_db": "MS-SSIM (dB)",
    "lpips": "LPIPS (lower is better)",
    "top1": "top-1 (%)",
    "top5": "top-5 (%)",
    "miou": "mIoU (%)",
}
DIGITS = {"psnr": 2, "ms_ssim": 4, "ms_ssim_db": 2, "lpips": 4}
SMALL_SET = 1000
CLIP_NOTES = (
    "x264, x265 and SVT-AV1 are counted as elementary streams, without a container; icmh and "
    "all-intra as whole files with theirs.",
    "PSNR is that of RGB, its mean over a clip's frames (at most 60 dB each), then over clips.",
    "x264, x265 and SVT-AV1 run in one thread, since their bytes depend on the number of threads.",
)
MINUS = "\N{MINUS SIGN}"


def of_clips(report: Mapping[str, Any]) -> bool:
    """Whether a report is of clips, not of pictures."""
    return "clips" in report["dataset"]


def amount(report: Mapping[str, Any]) -> str:
    """How many pictures a report is of, or how many clips and frames."""
    data = report["dataset"]
    if not of_clips(report):
        return f"{data['images']} pictures"
    return f"{data['clips']} clip{'s' * (data['clips'] != 1)}, {data['images']} frames"


def title(metric: str) -> str:
    """Heading of a metric; metrics of networks are in percent."""
    return TITLES.get(metric.lower(), metric if metric in HUMAN_METRICS else f"{metric} (%)")


def number(metric: str, value: float | None) -> str:
    """Value of a metric as a table shows it; a dash where there is none."""
    return "\N{EN DASH}" if value is None else f"{value:.{DIGITS.get(metric, 1)}f}"


def percent(value: float | None) -> str:
    """Signed percentage, as BD-rates are shown."""
    return "\N{EN DASH}" if value is None else f"{value:+.1f} %".replace("-", MINUS)


def span(values: Sequence[float]) -> str:
    """Interval of percentages without the sign of percent."""
    return " to ".join(f"{value:+.0f}" for value in values).replace("-", MINUS)


def seconds(value: float) -> str:
    """Time with two figures, in ms or s."""
    return f"{value * 1000:.2g} ms" if value < 0.0995 else f"{value:.2f} s"


def speed(value: float | None) -> str:
    """Frames per second with two figures, or whole ones; a dash where there are none."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"


def metric_names(report: Mapping[str, Any]) -> list[str]:
    """Metrics of all rows: the network's first, as it names them, then those of people."""
    names = dict.fromkeys(name for row in report["rows"] for name in row["metrics"])
    human = [name for name in HUMAN_METRICS if name in names]
    return [name for name in names if name not in HUMAN_METRICS] + human


def main_metric(report: Mapping[str, Any]) -> str | None:
    """The metric of the headline: the network's first, else PSNR."""
    names = metric_names(report)
    return names[0] if names else None


def label(curve: str) -> str:
    """Short name of a curve: what is plain and for people goes without saying."""
    codec, _, rest = curve.partition("/")
    profile, _, view = rest.partition("/")
    if rest in ("", "plain/human") or (profile == "plain" and "@" in codec):
        return codec
    parts = [codec, "" if profile == "plain" or profile in codec else profile, view]
    return " ".join(part for part in parts if part)


def curve_names(report: Mapping[str, Any]) -> list[str]:
    """Curves in the order of the rows, without the original."""
    names = dict.fromkeys(row["curve"] for row in report["rows"])
    return [name for name in names if name != "original"]


def original(report: Mapping[str, Any], metric: str) -> float | None:
    """Value of a metric on the uncompressed pictures."""
    rows = [row for row in report["rows"] if row["curve"] == "original"]
    return rows[0]["metrics"].get(metric) if rows else None


def entry(
    report: Mapping[str, Any], curve: str, anchor: str, metric: str
) -> Mapping[str, Any] | None:
    """Comparison of a curve with an anchor on a metric."""
    for found in report["bd"]:
        if (found["curve"], found["anchor"], found["metric"]) == (curve, anchor, metric):
            return dict(found)
    return None


def compared(report: Mapping[str, Any], metric: str) -> tuple[list[str], list[str]]:
    """Curves and anchors of a table of BD-rates, curves that need the fewest bits first.

    A picture for a machine is not made to be looked at: its PSNR would only be clutter.
    """
    left_out = is_task if metric in HUMAN_METRICS else lambda curve: False
    pairs = [
        (found["curve"], found["anchor"])
        for found in report["bd"]
        if found["metric"] == metric
        and not left_out(found["curve"])
        and not left_out(found["anchor"])
    ]
    curves, anchors = {curve for curve, _ in pairs}, {anchor for _, anchor in pairs}
    return (
        [name for name, _ in ranking(report) if name in curves],
        [name for name in anchor_names(report) if name in anchors],
    )


def is_task(curve: str) -> bool:
    """Whether a curve is that of a task's layers."""
    return "/" in curve and not curve.endswith("/human")


def anchor_names(report: Mapping[str, Any]) -> list[str]:
    """Anchors of the comparisons, the most important first."""
    return [name for name in report["settings"]["anchors"] if name]


def headline(report: Mapping[str, Any]) -> str:
    """Which curve needs the fewest bits, made from the BD-rates to the first anchor alone."""
    metric, anchors = main_metric(report), anchor_names(report)
    if metric is None or not report["bd"]:
        return "There is no second curve to compare with; the points stand below."
    plain = title(metric).split(" (")[0]
    anchor, ranked = next(
        ((name, found) for name in anchors if (found := _ranked(report, metric, name))),
        (anchors[0], []),
    )
    if not ranked:
        return f"No curve can be compared with {label(anchor)} on {plain}: see the notes."
    best = ranked[0]
    if best["bd_rate_percent"] >= 0:
        return f"At equal {plain}, no curve needs fewer bits than {label(anchor)}."
    text = f"At equal {plain}, {label(best['curve'])} needs {_fewer(best, label(anchor))}"
    own = is_own(best["curve"])
    rest = [found for found in ranked if is_own(found["curve"]) != own]
    if not rest:
        return f"{text}."
    what = "the best other codec" if own else "the best icmh curve"
    return f"{text}; {what}, {label(rest[0]['curve'])}, {_fewer(rest[0])}."


def ranking(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Curves and their BD-rate to the first anchor ("" where unknown), the fewest bits first."""
    rates = dict.fromkeys(anchor_names(report)[:1], 0.0)
    for found in report["bd"]:
        if found["anchor"] in anchor_names(report)[:1] and found["metric"] == main_metric(report):
            rates[found["curve"]] = found["bd_rate_percent"]
    curves = sorted(curve_names(report), key=lambda name: _last_if_none(rates.get(name)))
    texts = [(name, rates.get(name)) for name in curves]
    return [(name, f"{rate:+.0f} %".replace("-", MINUS) if rate else "") for name, rate in texts]


def _last_if_none(rate: float | None) -> float:
    return float("inf") if rate is None else rate


def ranking_title(report: Mapping[str, Any]) -> str:
    """What the numbers of `ranking` are."""
    metric, anchors = main_metric(report), anchor_names(report)
    if metric is None or not anchors:
        return ""
    return f"bits against {label(anchors[0])} at equal {title(metric).split(' (')[0]}"


def is_own(curve: str) -> bool:
    """Whether a curve is icmh's, alone, in I frames alone or in a simulcast."""
    return curve.startswith(("icmh", "all-intra")) or (
        curve.startswith("simulcast") and "icmh" in curve
    )


def _ranked(report: Mapping[str, Any], metric: str, anchor: str) -> list[Mapping[str, Any]]:
    known = [
        found
        for found in report["bd"]
        if (found["anchor"], found["metric"]) == (anchor, metric)
        and found["bd_rate_percent"] is not None
    ]
    return sorted(known, key=lambda found: float(found["bd_rate_percent"]))


def _fewer(found: Mapping[str, Any], anchor: str = "") -> str:
    rate = found["bd_rate_percent"]
    text = f"{abs(rate):.0f} % {'fewer' if rate < 0 else 'more'}"
    text += f" bits than {anchor}" if anchor else ""
    if found["ci95"] is None:
        return text
    if found["ci95"][0] < 0 < found["ci95"][1]:
        return f"{text} (uncertain: the 95 % interval holds 0)"
    low, high = sorted(abs(value) for value in found["ci95"])
    return f"{text} (95 % interval {low:.0f} to {high:.0f} %)"


def notes(report: Mapping[str, Any]) -> list[str]:
    """What a reader must know to judge the numbers."""
    settings, data = report["settings"], report["dataset"]
    what, samples = ("clip", data["clips"]) if of_clips(report) else ("picture", data["images"])
    found = [
        "Bits are bytes of real files, headers included, over the pixels of the original "
        f"{what}s; a task's curve counts only the part of the file that this task needs.",
        "BD-rate (Bjontegaard) is the mean difference in bits over the range of the metric that "
        "both curves cover. Interpolation (PCHIP) runs over each curve's upper envelope, never "
        f"outside of it, and needs {settings['min_points']} points and "
        f"{settings['min_overlap'] * 100:.0f} % of the shorter range in common; else there is no "
        "number.",
    ]
    if samples < SMALL_SET:
        found.insert(
            0,
            f"{samples} {what}{' is' if samples == 1 else 's are'} a small set: differences "
            f"smaller than the 95 % intervals (bootstrap over {what}s, {settings['resamples']} "
            f"resamples) say nothing, and other {what}s give other numbers than these intervals "
            "cover where they differ in kind.",
        )
    if of_clips(report):
        found += CLIP_NOTES
    if data["left_out"]:
        found.append(
            f"All curves are compared on the same {what}s: what failed anywhere is left out "
            f"everywhere ({data['left_out']} of {samples + data['left_out']})."
        )
    return found
