"""Tables of reports of `icmh bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.tables.cells import Results, markdown
from icmhcodec.bench.report import words

PEOPLE = ("icmh/plain/human", "jpeg/plain/human", "avif/plain/human")
CLIP_ANCHORS = ("icmh/plain/human", "all-intra/plain/human", "x265/plain/human")


def bench(results: Results, at: str | None = None, without: Sequence[str] = ()) -> list[str]:
    """The uncompressed pictures, then BD-rates at the main metric, without some curves."""
    metric = at or words.main_metric(results) or "psnr"
    curves, anchors = (
        [name for name in names if words.label(name) not in without]
        for names in words.compared(results, metric)
    )
    network, data = results["network"], results["dataset"]
    original = next(row for row in results["rows"] if row["curve"] == "original")
    known = ", ".join(
        f"{words.title(name)} {words.number(name, value)}"
        for name, value in original["metrics"].items()
        if name not in words.HUMAN_METRICS and name != "agreement"
    )
    what = f"{data['images']} pictures"
    if data.get("clips"):
        what = f"{data['clips']} clips of {data['images'] // data['clips']} frames"
    head = f"{what}, {data['pixels'] / 1e6:.1f} megapixels"
    if network:
        head += f"; {network['id']}"
        head += f", on the uncompressed pictures: {known}" if known else ""
    rows = [
        [f"`{words.label(curve)}`"]
        + [_compared(words.entry(results, curve, anchor, metric)) for anchor in anchors]
        for curve in curves
    ]
    titles = [f"bits at equal {words.title(metric)}", *(f"to {words.label(a)}" for a in anchors)]
    return [f"{head}. In brackets the 95 % interval over pictures.", markdown(titles, rows)]


def _compared(found: Mapping[str, Any] | None) -> str:
    if found is None or found["bd_rate_percent"] is None:
        return "-"
    between = f" [{found['ci95'][0]:+.0f} to {found['ci95'][1]:+.0f}]" if found["ci95"] else ""
    return f"{found['bd_rate_percent']:+.1f} %{between}"


def layers(*found: Results) -> list[str]:
    """The layers of several reports, each at its network's metric beside pictures for people."""
    rows = []
    for results in found:
        metric = words.main_metric(results) or ""
        curves, anchors = words.compared(results, metric)
        shrunk = [name for name in anchors if name.startswith("avif@")]
        rows += [
            [f"`{words.label(curve)}`", words.title(metric)]
            + [_compared(words.entry(results, curve, a, metric)) for a in (*PEOPLE, *shrunk)]
            for curve in curves
            if words.is_task(curve) and "@" not in curve
        ]
    titles = ["layer", "at equal", *(f"to `{words.label(name)}`" for name in PEOPLE)]
    return [markdown([*titles, "to `avif`, shrunk"], rows)]


def clips(results: Results) -> list[str]:
    """A report of clips: the layer at the network's metric, the whole stream at PSNR."""
    rows = [
        [title, words.title(metric)]
        + [_compared(words.entry(results, curve, anchor, metric)) for anchor in CLIP_ANCHORS]
        for title, curve, metric in (
            ("detection layer", "icmh/scalable/det", "agreement"),
            ("whole stream, for a detector", "icmh/plain/human", "agreement"),
            ("whole stream, for people", "icmh/plain/human", "psnr"),
        )
    ]
    heads = ["to the whole stream", *(f"to `{words.label(name)}`" for name in CLIP_ANCHORS[1:])]
    return [markdown(["bits of", "at equal", *heads], rows)]


def other_networks(results: Results) -> list[str]:
    """Layers under networks that they were not trained for, against the base codec's picture."""
    rows = [
        [
            found["network"]["id"],
            f"`{words.label(entry['curve'])}`",
            words.title(entry["metric"]),
            _compared(entry),
        ]
        for found in results["measured"]
        for entry in found["bd"]
        if entry["curve"] != entry["anchor"]
        and entry["metric"] in (words.main_metric(found), "agreement")
    ]
    return [markdown(["network", "layer", "at equal", "bits to the base codec's picture"], rows)]
