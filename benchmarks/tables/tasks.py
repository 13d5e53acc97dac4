"""Tables of what layers of tasks are made of, and how they drift along a clip."""

from __future__ import annotations

from benchmarks.tables.cells import Results, markdown, number, percent


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
