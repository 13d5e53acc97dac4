"""What a task's layer and people see of each frame of a long group, place by place.

A task's frames refer to its own ones, so that what its layer leaves out of one frame is missed in
those after it. Clips are coded in groups of `--gop` frames; counted are the bits of the layer and
of the whole, the agreement of the network's objects with those that it finds in the original, and
PSNR, over all frames and over those of the same stretch of a group. Results of other bundles on
the same frames are kept.

    python -m benchmarks.video_set SOURCES clips/
    python -m benchmarks.video_drift clips/
"""

from __future__ import annotations

import io
import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks import video_cases
from benchmarks.common import RESULTS, Pixels, machine, psnr, write_json
from benchmarks.video_cases import CASES, TASK, shown_frames
from icmhcodec.adapters import bundles
from icmhcodec.codecs.video import registry
from icmhcodec.container import Reference
from icmhcodec.container.video import split_stream
from icmhcodec.imageio.clip import ClipFrame
from icmhcodec.imageio.clip_read import ClipReader
from icmhcodec.pipeline.codec import DEFAULT_BASE, Codec
from icmhcodec.tasks.yolox import YoloxNano, load_yolox

VIEWS = {TASK: {"task": TASK}, "human": {"human": True}}
DIGITS = 4

Row = dict[str, Any]


def coded(codec: Codec, clip: Path, options: Row) -> dict[str, bytes]:
    """The stream of a clip by what is wanted of it: all, or the task's part."""
    whole, part = io.BytesIO(), io.BytesIO()
    codec.encode_clip(clip, whole, tasks=[TASK], audio=False, **options)
    split_stream(io.BytesIO(whole.getvalue()), [TASK], part)
    return {TASK: part.getvalue(), "human": whole.getvalue()}


def measured(network: YoloxNano, originals: list[Pixels], frames: list[Pixels]) -> list[Row]:
    """What the network and people have of each frame."""
    return [
        {
            "seen": network.observe(network.predict(own), network.predict(original), None),
            "psnr": psnr(own, original),
        }
        for own, original in zip(frames, originals, strict=True)
    ]


def summed_up(network: YoloxNano, rows: list[Row]) -> Row:
    """Agreement and PSNR over frames."""
    metric = network.metric([row["seen"] for row in rows])
    return {
        "agreement": round(metric["agreement"], DIGITS),
        "psnr": round(float(np.mean([row["psnr"] for row in rows])), DIGITS),
    }


def by_stretch(network: YoloxNano, rows: list[list[Row]], gop: int, stretch: int) -> list[Row]:
    """Agreement and PSNR over all clips' frames of each stretch of a group."""
    found = []
    for start in range(0, gop, stretch):
        places = range(start, min(start + stretch, gop))
        part = [row for clip in rows for n, row in enumerate(clip) if n % gop in places]
        if part:
            found.append({"frames": [start, places.stop], **summed_up(network, part)})
    return found


def drift(codec: Codec, network: YoloxNano, clips: list[Path], options: Row, stretch: int) -> Row:
    """Bits, agreement and PSNR of the task's part and of the whole, coded with some options."""
    sizes, pixels = dict.fromkeys(VIEWS, 0), 0
    rows: dict[str, list[list[Row]]] = {view: [] for view in VIEWS}
    for clip in clips:
        with ClipReader(clip) as reader:
            wanted = (item.pixels for item in reader if isinstance(item, ClipFrame))
            originals = list(islice(wanted, options["frames"][1]))
        pixels += sum(frame[..., 0].size for frame in originals)
        for view, data in coded(codec, clip, options).items():
            sizes[view] += len(data)
            frames = list(shown_frames(codec, io.BytesIO(data), **VIEWS[view]))
            rows[view].append(measured(network, originals, frames))
    found = {
        view: {
            "bpp": round(8 * sizes[view] / pixels, DIGITS),
            **summed_up(network, [row for clip in rows[view] for row in clip]),
            "stretches": by_stretch(network, rows[view], options["gop"], stretch),
        }
        for view in VIEWS
    }
    for view, row in found.items():
        click.echo(f"quality {options['quality']}, {view}: {row}")
    return found


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--gop", type=click.IntRange(min=2), default=32, show_default=True)
@click.option("--frames", "count", type=click.IntRange(min=2), default=32, show_default=True)
@click.option("--stretch", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--quality", "qualities", type=float, multiple=True, default=(4.0,))
@click.option("--case", type=click.Choice(list(CASES)), default="default", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=torch.get_num_threads())
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "video-drift.json")
def main(
    folder: Path, gop: int, count: int, stretch: int, qualities: tuple[float, ...], case: str,
    threads: int, output: Path,
) -> None:  # fmt: skip
    torch.set_num_threads(threads)
    clips = sorted(folder.glob("*.mp4"))
    options = {**CASES[case], "gop": gop, "frames": (0, count)}
    with tempfile.TemporaryDirectory() as models, video_cases.models_of(case, Path(models)):
        codec, network = Codec(options.pop("base", DEFAULT_BASE)), load_yolox()
        found = {
            str(quality): drift(codec, network, clips, {**options, "quality": quality}, stretch)
            for quality in qualities
        }
        video = registry.load(options.get("inter", "dvc"))
        reference = Reference(video.id, video.fingerprint)
        bundle = bundles.find("predictor", TASK, reference, "scalable")
    assert bundle is not None  # or nothing would have been coded
    about: Row = {
        "codec": named(reference), "gop": gop, "frames": count,
        "clips": [path.stem for path in clips],
    }  # fmt: skip
    own = {named(bundle[1]): {"machine": machine(), "qualities": found}}
    write_json(output, {**about, "bundles": {**others(output, about), **own}})


def named(reference: Reference) -> str:
    """Id and fingerprint."""
    return f"{reference.id} {reference.fingerprint.hex()}"


def others(output: Path, about: Row) -> Row:
    """What was measured of other bundles, if it was on the same frames."""
    kept: Row = json.loads(output.read_text()) if output.exists() else {}
    same = all(kept.get(key) == value for key, value in about.items())
    found: Row = kept["bundles"] if same else {}
    return found


if __name__ == "__main__":
    main()
