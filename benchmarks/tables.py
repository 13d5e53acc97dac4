"""Fills the pages' tables from benchmarks/results: `<!-- table: NAME -->` to `<!-- end -->`.

A table whose results are not there is left empty.

    python -m benchmarks.tables            writes README.md and two pages of docs
    python -m benchmarks.tables --check    exits with 1 where it is out of date
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from benchmarks import common
from icmhcodec.bench.report import words

PAGES = (
    common.ROOT / "README.md",
    common.ROOT / "docs" / "training.md",
    common.ROOT / "docs" / "video.md",
)
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Results = dict[str, Any]


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its first column to the left and all others to the right."""
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 2, sign: str = "") -> str:
    """A rounded number, a dash for none."""
    return "-" if value is None else f"{value:{sign}.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def kodak(results: Results) -> list[str]:
    """Rate and distortion, BD-rates, what effort gains."""
    settings = results["settings"]
    rows = [
        [
            f"{row['quality']:g}",
            number(row["bpp"], 3),
            number(row["psnr"]),
            number(row.get("ms_ssim"), 4),
            number(row["coded_against_model_percent"], sign="+") + " %",
            number(row["indexes_moved_percent"]) + " %",
            number(row["integer_stage_percent"], 4, "+") + " %",
            f"{row['overhead']['mean']:.0f}",
        ]
        for row in results["icmh"]
    ]
    titles = ["q", "bpp", "PSNR (dB)", "MS-SSIM", "bits against the model's", "indexes moved"]
    titles += ["bits lost by integers", "overhead (bytes)"]
    rates = [
        [name, *(_rate(row[metric]) for metric in ("psnr", "ms_ssim"))]
        for name, row in results["bd_rate_percent"].items()
    ]
    return [
        f"{settings['pictures']} Kodak pictures, {_weights(settings)}, {settings['precision']}:",
        markdown(titles, rows),
        "BD-rate, the bits that icmh takes more (+) or less at the same quality:",
        markdown(["against", "PSNR", "MS-SSIM"], rates),
        *_searched(results.get("searched")),
    ]


def _searched(results: Results | None) -> list[str]:
    """What more effort of the encoder gains."""
    if results is None:
        return []
    rows = [
        [f"{row['quality']:g}", number(row["bpp"], 3), number(row["psnr"]),
         number(row["encode_cpu_seconds"], 1)]
        for row in results["rows"]
    ]  # fmt: skip
    rates = [
        [name, *(_rate(row[metric]) for metric in ("psnr", "ms_ssim"))]
        for name, row in results["bd_rate_percent"].items()
    ]
    return [
        f"With `--effort {results['effort']}`:",
        markdown(["q", "bpp", "PSNR (dB)", "CPU seconds to encode"], rows),
        "BD-rate at that effort:",
        markdown(["against", "PSNR", "MS-SSIM"], rates),
    ]


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f} %"


def layers(results: Results) -> list[str]:
    """What layers of tasks cost beside plain files, and what files of the machine profile take."""
    settings = results["settings"]
    shared = [
        [
            f"`{row['tasks']}`",
            f"{row['quality']:g}",
            number(row["size_ratio"], 4),
            number(row["size_ratio_worst"], 4),
            percent(row["layer_share_of_plain"]),
            f"{row['overhead']['mean']:.0f}, {row['overhead']['most']}",
            *(f"{row[key]} of {row['pictures']}" for key in ("human_identical", "rejoined")),
        ]
        for row in results["scalable"]
    ]
    titles = ["layers", "q", "size to the plain file's", "at worst", "tasks' part of it"]
    titles += ["overhead (bytes: mean, most)", "human picture identical", "cut and joined"]
    apart = [
        [
            f"`{row['tasks']}`" + (" `--with-human`" if row["with_human"] else ""),
            f"{row['quality']:g}",
            f"{row['bytes']:,.0f}",
            f"{row['rejoined']} of {row['pictures']}",
        ]
        for row in results["machine"]
    ]
    own = "With `--profile machine`, a latent for each task:"
    return [
        f"{settings['pictures']} Kodak pictures, {_weights(settings)}, {settings['precision']}:",
        markdown(titles, shared),
        *((own, markdown(["layers", "q", "bytes", "cut and joined"], apart)) if apart else ()),
    ]


def _weights(settings: Results) -> str:
    return f"`{settings['codec'].split()[0]}`"


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
        f"({results['distinct_files']} of them distinct), on {_machine(results['machine'])}:",
        markdown(titles, rows),
        "The hyper-decoder in floats instead, through the same harness:",
        markdown(["encoder", "decoder", "mismatches"], controls),
    ]


def _took_part(settings: Results) -> str:
    """Ids of all weights that took part."""
    cases = settings.get("cases") or {"": {k: v for k, v in settings.items() if " " in str(v)}}
    named = (value.split()[0] for case in cases.values() for value in case.values())
    return ", ".join(f"`{name}`" for name in dict.fromkeys(named))


def _control(setting: str) -> str:
    """A control's setting without what all controls have."""
    return setting.replace(", float32, channels-last", "")


def _machine(machine: Results) -> str:
    features = ", ".join(f for f in machine["features"] if "bf16" in f or "amx" in f)
    gpu = f" and {machine['gpu']}" if machine["gpu"] else ""
    return f"{machine['cpu']}, {machine['cores']} cores ({features or 'no bfloat16'}){gpu}"


def speed(results: Results) -> list[str]:
    """Pairs with CompressAI, stages, memory, processes, and the loss of bfloat16."""
    pairs = [
        [
            f"{row['operation']}, q {row['quality']:g}, {row['precision']}",
            number(row["seconds"], 3),
            number(row["reference_seconds"], 3),
            f"**{row['ratio']:.2f}**",
        ]
        for row in results["pairs"]
    ]
    quality, sides = next(iter(results["stages"].items()))
    names = list(sides["CompressAI"])
    stages = [[side, *(number(1000 * sides[side][n], 0) for n in names)] for side in sides]
    memory: dict[str, dict[str, tuple[float, float]]] = {}
    for row in results["memory"]:
        memory.setdefault(row["side"], {})[row["operation"]] = row["loaded_mib"], row["peak_mib"]
    peaks = [
        [side, *(f"{most:.0f} ({loaded:.0f})" for loaded, most in row.values())]
        for side, row in memory.items()
    ]
    seconds = results["processes"]["seconds"]
    processes = [
        [name if name == "import torch" else f"icmh {name}", number(value)]
        for name, value in seconds.items()
    ]
    beyond = number(results["processes"]["decode_beyond_import"])
    tasks = [
        [
            f"{row['bundle']}, {row['profile']}",
            number(1000 * row["task_seconds"], 0),
            number(1000 * row["human_seconds"], 0),
            f"**{row['task_to_human']:.2f}**",
            number(1000 * row["predictor_seconds"], 0) if "h_s_seconds" in row else "-",
            number(1000 * row["h_s_seconds"], 0) if "h_s_seconds" in row else "-",
            f"**{row['predictor_to_h_s']:.2f}**" if "h_s_seconds" in row else "-",
        ]
        for row in results.get("tasks", ())
    ]
    task_titles = ["bundle", "task decode", "human decode", "ratio", "predictor", "h_s", "ratio"]
    task_table = [
        "Milliseconds of decoding for a task beside decoding for people, and of the mask predictor "
        "beside the hyper-decoder:",
        markdown(task_titles, tasks),
    ]
    losses = results["bfloat16"]
    lost = [
        ["PSNR lost (dB)", *(number(row["psnr_loss"], 3) for row in losses)],
        ["more bits", *(number(row["more_bits_percent"], 2, "+") + " %" for row in losses)],
    ]
    settings = results["settings"]
    threads = results["machine"]["threads"]
    return [
        f"{settings['pictures']} Kodak pictures, seconds each (medians; the ratio is that of "
        f"pairs), {threads} threads on {_machine(results['machine'])}:",
        markdown(["", "icmh", "CompressAI", "ratio"], pairs),
        f"Milliseconds of each stage at {quality}:",
        markdown(["", *names], stages),
        *(task_table if tasks else ()),
        "Peak memory of a process, and what it has once the networks are loaded (MiB):",
        markdown(["", *next(iter(memory.values()))], peaks),
        f"Whole processes (seconds); `icmh decode` takes {beyond} s more than the import of torch:",
        markdown(["", "wall time"], processes),
        "What bfloat16 transforms cost:",
        markdown(["", *(f"q {row['quality']:g}" for row in losses)], lost),
    ]


def bench(results: Results, at: str | None = None) -> list[str]:
    """A report of `icmh bench`: the uncompressed pictures, then BD-rates at the main metric."""
    metric = at or words.main_metric(results) or "psnr"
    curves, anchors = words.compared(results, metric)
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


def video_speed(results: Results) -> list[str]:
    """Frames a second of clips beside the naive loop, and its stages."""
    ways = list(results["encode"])
    width, height = results["frame"]
    rows = [
        [
            operation,
            *(
                f"{row['frames_per_second']:.2f} (**{row['times_naive']:.2f}**)"
                for row in results[operation].values()
            ),
        ]
        for operation in ("encode", "decode")
    ]
    stages = [
        [f"{operation}: {stage}", number(milliseconds, 1)]
        for operation, found in results["stages_ms_per_frame"].items()
        for stage, milliseconds in found.items()
    ]
    return [
        f"Frames a second, and in brackets times the naive loop (medians of {results['pairs']} "
        f"pairs): {results['frames']} frames of {width}x{height}, `{results['codec'].split()[0]}`, "
        f"quality {results['quality']:g}, {results['threads']} threads on "
        f"{_machine(results['machine'])}:",
        markdown(["", *ways], rows),
        "Milliseconds of a frame, one stage after the other:",
        markdown(["stage", "ms"], stages),
    ]


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


def limits(results: Results) -> list[str]:
    """What of a layer saves bits, what it is made of, and where the features lose."""
    found = results["bundles"]
    versions = list(found[0]["bits_at_equal_distortion"])
    titles = ["bundle", *versions, "side information, q 0", "q 6"]
    titles += ["symbols held, q 0", "q 6"]
    rows = [
        [
            _bundle(each),
            *(number(each["bits_at_equal_distortion"][v], 1, "+") + " %" for v in versions),
            *(percent(each["side_share"][q], 0) for q in ("0", "6")),
            *(percent(each["fill"][q], 0) for q in ("0", "6")),
        ]
        for each in found
    ]
    levels = [
        [
            _bundle(each),
            *(number(each["bpp"][which], 3) for which in ("base", "layer")),
            *(
                ", ".join(number(level, 1) for level in each["levels_db"][which])
                for which in ("base", "layer")
            ),
        ]
        for each in found
    ]
    level_titles = ["q 3", "bpp of all symbols", "of the layer"]
    level_titles += ["features, level by level (dB), all symbols", "the layer"]
    return [
        f"Bits at equal distortion of the features against the base codec's picture, on "
        f"{results['crops']} crops of {results['side']} pixels of the sets that are measured on:",
        markdown(titles, rows),
        markdown(level_titles, levels),
    ]


def ceiling(results: Results) -> list[str]:
    """What latents lose without rounding, and what linear transforms of as many values lose."""
    rows = [
        [
            f"`{name}`",
            str(codec["channels"]),
            number(results["linear_psnr"].get(str(codec["channels"]))),
            *(
                " / ".join(number(row[key], 1) for key in ("latent", "rounding", "all"))
                for row in codec["rows"]
            ),
        ]
        for name, codec in results["codecs"].items()
    ]
    qualities = [f"q {row['quality']}" for row in next(iter(results["codecs"].values()))["rows"]]
    linear = ", ".join(f"{width}: {number(v)}" for width, v in results["linear_psnr"].items())
    return [
        f"PSNR (dB) over {results['settings']['pictures']} Kodak pictures, of mean squared errors: "
        "without rounding / by rounding alone / both.",
        markdown(["codec", "channels", "as many linear ones", *qualities], rows),
        f"Principal components of blocks of 16x16 pixels that are kept, and their PSNR: {linear}.",
    ]


def video_drift(results: Results) -> list[str]:
    """What a detector and people have of the frames of a long group, stretch by stretch."""
    found = results["bundles"]
    quality = next(iter(next(iter(found.values()))["qualities"]))
    views = {
        f"`{name.split()[0]}`": row["qualities"][quality]["det"] for name, row in found.items()
    }
    views["the whole"] = list(found.values())[-1]["qualities"][quality]["human"]
    places = [row["frames"] for row in views["the whole"]["stretches"]]
    rows = [
        [name, number(row["bpp"], 3)]
        + [f"{number(s['agreement'], 0)} %, {number(s['psnr'], 1)}" for s in row["stretches"]]
        for name, row in views.items()
    ]
    return [
        f"Agreement of detections and PSNR (dB) by place in a group of {results['gop']}: "
        f"{len(results['clips'])} clips, quality {float(quality):g}.",
        markdown(["layers", "bpp", *(f"{a + 1} to {b}" for a, b in places)], rows),
    ]


def _bundle(found: Results) -> str:
    return f"`{found['parts'][0].split()[0]}` {found['profile']}"


TABLES: dict[str, tuple[str, Callable[[Results], list[str]]]] = {
    "kodak": ("rate.json", kodak),
    "kodak-2": ("rate-mbt2018-mean-gain-2.json", kodak),
    "ceiling": ("ceiling.json", ceiling),
    "layers": ("layers.json", layers),
    "exactness": ("exactness-mbt2018-mean-gain-1.json", exactness),
    "exactness-0": ("exactness.json", exactness),
    "speed": ("speed.json", speed),
    "bench-people": ("bench-kodak.json", bench),
    "bench-detection": ("bench-detection.json", bench),
    "bench-classification": ("bench-classification.json", bench),
    "bench-segmentation": ("bench-segmentation.json", bench),
    "bench-clips": ("bench-clips.json", bench),
    "bench-clips-people": ("bench-clips.json", partial(bench, at="psnr")),
    "video-speed": ("video-speed.json", video_speed),
    "video-drift": ("video-drift.json", video_drift),
    "other-networks": ("other-networks.json", other_networks),
    "limits": ("limits.json", limits),
}


def render(name: str, folder: Path = common.RESULTS) -> str:
    """A table by name, empty where its results are not there."""
    if name not in TABLES:
        raise click.ClickException(f"no table '{name}'; there are {', '.join(TABLES)}")
    file, table = TABLES[name]
    path = folder / file
    if not path.exists():
        return ""
    return "\n\n".join(table(json.loads(path.read_text()))) + "\n"


def fill(text: str, folder: Path = common.RESULTS) -> str:
    """A text with all its marked tables made anew."""
    return MARKED.sub(lambda match: match[1] + render(match[2], folder) + match[3], text)


@click.command(help="Fill the pages' tables from benchmarks/results.")
@click.option("--check", is_flag=True, help="Only say whether they are up to date.")
def main(check: bool) -> None:
    for page in PAGES:
        text = page.read_text()
        filled = fill(text)
        if check and filled != text:
            raise click.ClickException(
                f"{page.name} is out of date: run python -m benchmarks.tables"
            )
        if not check:
            page.write_text(filled)


if __name__ == "__main__":
    main()
