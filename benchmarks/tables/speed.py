"""Tables of time and memory, of pictures and of clips."""

from __future__ import annotations

from benchmarks.tables.cells import Results, machine_of, markdown, number


def pairs(results: Results) -> list[str]:
    """Whole pictures beside CompressAI."""
    rows = [
        [
            f"{row['operation']}, q {row['quality']:g}, {row['precision']}",
            number(row["seconds"], 3),
            number(row["reference_seconds"], 3),
            f"**{row['ratio']:.2f}**",
        ]
        for row in results["pairs"]
    ]
    pictures, threads = results["settings"]["pictures"], results["machine"]["threads"]
    return [
        f"{pictures} Kodak pictures, seconds each (medians; the ratio is that of "
        f"pairs), {threads} threads on {machine_of(results)}:",
        markdown(["", "icmh", "CompressAI", "ratio"], rows),
    ]


def speed(results: Results) -> list[str]:
    """Pairs with CompressAI, stages, memory, processes, and the loss of bfloat16."""
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
    return [
        *pairs(results),
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
        f"{machine_of(results)}:",
        markdown(["", *ways], rows),
        "Milliseconds of a frame, one stage after the other:",
        markdown(["stage", "ms"], stages),
    ]
