"""Tables of files that settings of other kinds decode."""

from __future__ import annotations

from itertools import groupby

from benchmarks.tables.cells import Results, machine_of, markdown


def exactness(results: Results) -> list[str]:
    """Comparisons by kernels and precision, all threads and layouts together; the controls."""

    def kind(row: Results) -> tuple[str, str, str]:
        return row["device"], row["kernels"], row["precision"]

    rows = []
    for (device, kernels, precision), group in groupby(sorted(results["rows"], key=kind), kind):
        alike = list(group)
        differences = [row["largest_pixel_difference"] for row in alike]
        known = [difference for difference in differences if difference is not None]
        rows.append(
            [
                f"{device}, {kernels}, {precision}",
                str(len(alike)),
                str(sum(row["files"] for row in alike)),
                f"**{sum(row['mismatches'] for row in alike)}**",
                str(max(known)) if known else "-",
            ]
        )
    controls = [
        [*map(_control, (row["encoder"], row["decoder"])), f"{row['mismatches']} of {row['files']}"]
        for row in results["controls"]
    ]
    titles = ["decoder", "settings", "files decoded", "mismatches", "pixels differ by at most"]
    settings = results["settings"]
    return [
        f"{settings['pictures']} pictures, {_took_part(settings)}: "
        f"{results['files']} files by {len(results['rows'])} settings "
        f"({results['distinct_files']} of them distinct), on {machine_of(results)}:",
        markdown(titles, rows),
        "The hyper-decoder in floats instead, through the same harness:",
        markdown(["encoder", "decoder", "mismatches"], controls),
    ]


def runs(*found: Results) -> list[str]:
    """All runs, a line each: what was decoded under which settings, and what came back wrong."""
    rows = [
        [
            _took_part(results["settings"]),
            str(results["files"]),
            str(len(results["rows"])),
            f"{sum(row['files'] for row in results['rows']):,}",
            f"**{sum(row['mismatches'] for row in results['rows'])}**",
        ]
        for results in found
    ]
    return [markdown(["weights", "files", "settings", "decodings", "mismatches"], rows)]


def _took_part(settings: Results) -> str:
    """Ids of all weights that took part."""
    cases = settings.get("cases") or {"": {k: v for k, v in settings.items() if " " in str(v)}}
    named = (value.split()[0] for case in cases.values() for value in case.values())
    return ", ".join(f"`{name}`" for name in dict.fromkeys(named))


def _control(setting: str) -> str:
    """A control's setting without what all controls have."""
    return setting.replace(", float32, channels-last", "")
