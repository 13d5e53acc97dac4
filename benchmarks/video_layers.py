"""What must hold of a clip with sound and a task's layers, on two clips: the acceptance of video.

Each clip is coded with and without the task, decoded for people and for the task, cut into the
task's part and the rest, decoded from its part alone, and joined. Pictures of some frames are left
beside the results, to be looked at: the source, what people see, what the task sees.

    python -m benchmarks.video_layers
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks import video_cases
from benchmarks.common import KODAK, RESULTS, Pixels, machine, pictures, psnr, write_json
from benchmarks.exactness_worker import PLAINEST
from benchmarks.video_cases import CASES, CLIPS, TASK, shown_frames
from benchmarks.video_exactness_worker import decoded_digest
from icmhcodec.container.video import join_streams, split_stream
from icmhcodec.imageio.clip import ClipFrame
from icmhcodec.imageio.clip_read import ClipReader
from icmhcodec.pipeline.codec import DEFAULT_BASE, Codec
from icmhcodec.pipeline.networks import Networks

SHOWN = 4  # frames on a sheet

Row = dict[str, Any]


@dataclass
class Seen:
    """What was read of a clip: times and sound, some frames, how good they all are."""

    times: list[float] = field(default_factory=list)
    sound: list[tuple[float, bytes]] = field(default_factory=list)
    frames: list[Pixels] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)


def seen(path: Path, source: Path, count: int) -> Seen:
    """Read a clip beside its source."""
    found = Seen()
    chosen = set(np.linspace(0, count - 1, SHOWN).astype(int).tolist())
    with ClipReader(path) as clip, ClipReader(source) as original:
        wanted = (item for item in original if isinstance(item, ClipFrame))
        for item in clip:
            if isinstance(item, ClipFrame):
                if len(found.times) in chosen:
                    found.frames.append(item.pixels)
                found.times.append(float(item.time * clip.info.time_base))
                found.psnr.append(psnr(item.pixels, next(wanted).pixels))
            else:
                unit = clip.info.audio[item.stream].time_base
                found.sound.append((float(item.time * unit), item.data))
    return found


def cut_and_joined(whole: Path, folder: Path) -> tuple[Path, bool]:
    """The task's part, and whether it and the rest give the same file again."""
    part, rest, joined = (folder / f"{name}.icm" for name in ("part", "rest", "joined"))
    with whole.open("rb") as stream, part.open("wb") as first, rest.open("wb") as second:
        split_stream(stream, [TASK], first, second)
    with ExitStack() as stack, joined.open("wb") as target:
        join_streams([stack.enter_context(path.open("rb")) for path in (rest, part)], target)
    return part, joined.read_bytes() == whole.read_bytes()


def same_frames(codec: Codec, first: Path, second: Path) -> bool:
    """Whether two files give the same frames for the task."""
    with first.open("rb") as one, second.open("rb") as other:
        pairs = zip_longest(*(shown_frames(codec, stream, task=TASK) for stream in (one, other)))
        return all(a is not None and b is not None and np.array_equal(a, b) for a, b in pairs)


def measured(source: Path, options: Row, folder: Path, sheet: Path) -> Row:
    """All that must hold, and what it takes."""
    codec = Codec(options.get("base", DEFAULT_BASE))
    choices = {name: value for name, value in options.items() if name != "base"}
    whole, plain = folder / "whole.icm", folder / "plain.icm"
    human, task = folder / "human.mp4", folder / "task.mp4"
    done = codec.encode_clip(source, whole, tasks=[TASK], **choices)
    codec.encode_clip(source, plain, **choices)
    networks = Networks("cpu", "auto")
    digests = {decoded_digest(networks, PLAINEST, path.read_bytes()) for path in (whole, plain)}
    part, joined = cut_and_joined(whole, folder)
    codec.decode_clip(whole, human, human=True)
    codec.decode_clip(whole, task, task=TASK)
    rows = [seen(path, source, done.frames) for path in (source, human, task)]
    Image.fromarray(np.concatenate([np.concatenate(row.frames, 1) for row in rows])).save(sheet)
    first, *others = rows
    return {
        "frames": done.frames,
        "bytes": done.size,
        "sound": done.sound,
        "layers": dict(done.layers),
        "psnr": {
            name: float(np.mean(row.psnr))
            for name, row in zip(("human", TASK), others, strict=True)
        },
        "holds": {
            "the human video is the one without tasks, symbol for symbol": len(digests) == 1,
            "part and rest join byte for byte": joined,
            "the part gives the task's frames": same_frames(codec, whole, part),
            "sound is copied": all(_alike(row.sound, first.sound) for row in others),
            "times are kept": all(np.allclose(row.times, first.times) for row in others),
        },
    }


def _alike(first: list[tuple[float, bytes]], second: list[tuple[float, bytes]]) -> bool:
    """Whether packets are the same, at the same times."""
    times = [[time for time, _ in packets] for packets in (first, second)]
    data = [[packet for _, packet in packets] for packets in (first, second)]
    return data[0] == data[1] and np.allclose(*times, atol=1e-3)


@click.command(help=__doc__)
@click.option("--clip", "clips", multiple=True, type=click.Choice(list(CLIPS)),
              default=("small", "hd"))  # fmt: skip
@click.option("--case", type=click.Choice(list(CASES)), default="default", show_default=True)
@click.option("--kodak", type=click.Path(path_type=Path), default=KODAK)
@click.option("--sheets", type=click.Path(path_type=Path), help="Folder of what is to be seen.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "video-layers.json")
def main(clips: tuple[str, ...], case: str, kodak: Path, sheets: Path | None, output: Path) -> None:
    found: Row = {}
    with tempfile.TemporaryDirectory() as name, video_cases.models_of(case, Path(name)):
        folder = Path(name)
        place = sheets or folder
        place.mkdir(exist_ok=True)
        for clip in clips:
            work = folder / clip
            work.mkdir()
            source = video_cases.write(work / "clip.mp4", CLIPS[clip], pictures(kodak))
            found[clip] = measured(source, CASES[case], work, place / f"{clip}.png")
            click.echo(f"{clip}: {found[clip]}")
    holds = all(all(row["holds"].values()) for row in found.values())
    write_json(output, {
        "machine": machine(), "case": case, "options": CASES[case], "clips": found, "holds": holds,
    })  # fmt: skip
    sys.exit(not holds)


if __name__ == "__main__":
    main()
