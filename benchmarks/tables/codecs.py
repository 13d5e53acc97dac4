"""Tables of base codecs: rate on Kodak, what layers cost there, what bounds a latent."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.tables.cells import Results, codec_of, markdown, number, percent, rate

METRICS = ("psnr", "ms_ssim")
SHOWN = (0, 4, 9)


def curves(*found: Results) -> list[str]:
    """All base codecs' curves on Kodak, and their BD-rates at equal PSNR."""
    against = list(found[-1]["bd_rate_percent"])
    rows = []
    for results in found:
        points = {row["quality"]: row for row in results["icmh"]}
        ends = [f"{points[q]['bpp']:.3f} bpp, {points[q]['psnr']:.2f} dB" for q in SHOWN]
        rows.append([codec_of(results), *ends, *_rates(results, against)])
        if searched := results.get("searched"):
            name = f"{codec_of(results)} `--effort {searched['effort']}`"
            rows.append([name, *("" for _ in SHOWN), *_rates(searched, against)])
    titles = ["base codec", *(f"q {q}" for q in SHOWN), *(f"to {name}" for name in against)]
    return [
        f"{found[-1]['settings']['pictures']} Kodak pictures; bits at equal PSNR against others' "
        "(below zero: fewer).",
        markdown(titles, rows),
    ]


def _rates(results: Results, against: Sequence[str]) -> list[str]:
    return [rate(results["bd_rate_percent"][name]["psnr"]) for name in against]


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
        [name, *(rate(row[metric]) for metric in METRICS)]
        for name, row in results["bd_rate_percent"].items()
    ]
    return [
        f"{settings['pictures']} Kodak pictures, {codec_of(results)}, {settings['precision']}:",
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
        [name, *(rate(row[metric]) for metric in METRICS)]
        for name, row in results["bd_rate_percent"].items()
    ]
    return [
        f"With `--effort {results['effort']}`:",
        markdown(["q", "bpp", "PSNR (dB)", "CPU seconds to encode"], rows),
        "BD-rate at that effort:",
        markdown(["against", "PSNR", "MS-SSIM"], rates),
    ]


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
        f"{settings['pictures']} Kodak pictures, {codec_of(results)}, {settings['precision']}:",
        markdown(titles, shared),
        *((own, markdown(["layers", "q", "bytes", "cut and joined"], apart)) if apart else ()),
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
