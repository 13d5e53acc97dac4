"""Frames a second of clips: icmh, beside the loop that does one step after the other in float32.

The loop is what a first version of such a codec is: it reads a frame, runs its networks, codes its
symbols, and goes on. icmh runs its networks in bfloat16 where the machine multiplies that faster,
and codes symbols in a thread of their own. Both run in alternating pairs; a ratio is the median
over the pairs. Between them stands the loop in icmh's precision, so that either gain is seen.
Stages are timed in the loop, one by one.

    python -m benchmarks.video_speed CLIP
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import click
import torch

from benchmarks.common import RESULTS, Pixels, machine, write_json
from icmhcodec.codecs.video.registry import ARCHITECTURES
from icmhcodec.container.video import Frame
from icmhcodec.imageio.clip import ClipFrame
from icmhcodec.imageio.clip_read import ClipReader
from icmhcodec.pipeline import latent
from icmhcodec.pipeline.codec import DEFAULT_BASE
from icmhcodec.pipeline.networks import Networks, default_precision
from icmhcodec.pipeline.video import decode, encode, layers
from icmhcodec.pipeline.video.decode import decode_frames
from icmhcodec.pipeline.video.encode import Picture, encode_frames
from icmhcodec.pipeline.video.plan import Options, Plan, make_header, make_plan

FASTEST = "icmh"
# By name: whether steps overlap, and the networks' precision.
WAYS = {
    "loop, float32": (False, "float32"),
    "loop": (False, "auto"),
    FASTEST: (True, "auto"),
}
NAIVE = "loop, float32"
# What is timed in the loop, by the object or module and its attribute.
CODEC_STAGES = {
    "motion_latent": "motion estimation and analysis",
    "prediction": "motion synthesis and compensation",
    "residual_latent": "residual analysis",
    "reconstruct": "residual synthesis",
}

Row = dict[str, Any]


@contextmanager
def one_after_the_other(active: bool) -> Iterator[None]:
    """Let no step overlap with another."""
    with ExitStack() as stack:
        for module in (encode, decode) if active else ():
            stack.enter_context(patch.object(module, "overlapped", _in_turn))
        yield


def _in_turn(items: Iterable[Any], count: int, device: torch.device) -> Iterator[Any]:
    del count, device
    yield from items


def plan_of(shape: tuple[int, ...], options: Options, precision: str) -> Plan:
    """The codecs for frames of that shape, loaded."""
    networks = Networks("cpu", precision)
    clip = {"time_base": Fraction(1, 25), "rate": Fraction(25)}
    height, width = shape[:2]
    return make_plan(networks, make_header(networks, DEFAULT_BASE, options, width, height, **clip))


def coded(plan: Plan, frames: list[Pixels]) -> list[Frame]:
    """All frames, coded."""
    return list(encode_frames(plan, (Picture(n, pixels) for n, pixels in enumerate(frames))))


def shown(plan: Plan, frames: list[Frame]) -> int:
    """Decode all frames of the last layer; how many there are."""
    return sum(1 for _ in decode_frames(plan, frames, len(plan.header.layers) - 1))


def timed(action: Callable[[], Any]) -> float:
    """Seconds that an action takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def compared(plans: dict[str, Plan], frames: list[Pixels], pairs: int) -> Row:
    """Frames a second of each way, and how many times faster than the naive loop it is."""
    streams = {name: coded(plan, frames) for name, plan in plans.items()}  # warms up, too
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(pairs):
        for name, plan in plans.items():
            with one_after_the_other(not WAYS[name][0]):
                seconds["encode", name].append(timed(partial(coded, plan, frames)))
                seconds["decode", name].append(timed(partial(shown, plan, streams[name])))
    return {
        operation: {
            name: {
                "frames_per_second": round(len(frames) / median(seconds[operation, name]), 2),
                "times_naive": round(
                    median(
                        naive / own
                        for naive, own in zip(
                            seconds[operation, NAIVE], seconds[operation, name], strict=True
                        )
                    ),
                    2,
                ),
            }
            for name in plans
        }
        for operation in ("encode", "decode")
    }


def by_stage(plan: Plan, frames: list[Pixels]) -> Row:
    """Milliseconds of the stages, of a P frame in the mean, in the loop."""
    assert plan.inter is not None
    seconds: dict[str, float] = defaultdict(float)
    watched: list[tuple[Any, str, str]] = [
        (plan.inter, attribute, stage) for attribute, stage in CODEC_STAGES.items()
    ]
    watched += [
        (latent, "quantise", "hyperprior and quantisation"),
        (latent, "prior_of", "hyperprior and quantisation"),
        (layers, "encode", "masks and entropy coding"),
        (layers, "decode", "hyperprior, masks and entropy decoding"),
        (layers, "decode_hyper", "hyperprior, masks and entropy decoding"),
    ]
    found: Row = {}
    stream = coded(plan, frames)
    actions = {"encode": lambda: coded(plan, frames), "decode": lambda: shown(plan, stream)}
    for operation, action in actions.items():
        seconds.clear()
        with ExitStack() as stack:
            stack.enter_context(one_after_the_other(True))
            clock = _Clock(seconds)
            for owner, attribute, stage in watched:
                timing = clock.timing(getattr(owner, attribute), stage)
                stack.enter_context(patch.object(owner, attribute, timing))
            whole = timed(action)
        stages = dict(sorted(seconds.items(), key=lambda item: -item[1]))
        stages["the rest"] = whole - sum(stages.values())
        found[operation] = {
            name: round(1000 * value / len(frames), 1) for name, value in stages.items()
        }
    return found


class _Clock:
    """Adds up the seconds of what it watches; what runs inside of another counts once."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._depth = 0

    def timing(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The same function, timed."""

        def run(*arguments: Any, **named: Any) -> Any:
            self._depth += 1
            begun = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._depth -= 1
                if not self._depth:
                    self._seconds[stage] += time.perf_counter() - begun

        return run


@click.command(help=__doc__)
@click.argument("clip", type=click.Path(exists=True, path_type=Path))
@click.option("--frames", "count", type=click.IntRange(min=2), default=25)
@click.option("--gop", type=click.IntRange(min=2), default=25)
@click.option("--quality", type=float, default=4.0)
@click.option("--task", "tasks", multiple=True, help="With layers of tasks, too.")
@click.option("--inter", type=click.Choice(list(ARCHITECTURES)), default="dvc")
@click.option("--pairs", type=click.IntRange(min=1), default=5)
@click.option("--threads", type=click.IntRange(min=1), default=torch.get_num_threads())
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "video-speed.json")
def main(
    clip: Path, count: int, gop: int, quality: float, tasks: tuple[str, ...], inter: str,
    pairs: int, threads: int, output: Path,
) -> None:  # fmt: skip
    torch.set_num_threads(threads)
    with ClipReader(clip, frames=(0, count)) as reader:
        frames = [item.pixels for item in reader if isinstance(item, ClipFrame)]
    options = Options(tasks=tasks, quality=quality, gop=gop, inter=inter)
    plans = {name: plan_of(frames[0].shape, options, how) for name, (_, how) in WAYS.items()}
    reference = plans[FASTEST].header.inter
    assert reference is not None
    result = {
        "machine": machine(),
        "threads": threads,
        "precision": default_precision("cpu"),
        "codec": f"{reference.id} {reference.fingerprint.hex()}",
        "frame": list(frames[0].shape[1::-1]),
        "frames": len(frames),
        "gop": gop,
        "quality": quality,
        "tasks": list(tasks),
        "pairs": pairs,
        **compared(plans, frames, pairs),
        "stages_ms_per_frame": by_stage(plans[FASTEST], frames),
    }
    write_json(output, result)
    for operation in ("encode", "decode"):
        for name, row in result[operation].items():
            click.echo(f"{operation} {name}: {row}")
        click.echo(f"{operation}: {result['stages_ms_per_frame'][operation]}")


if __name__ == "__main__":
    main()
