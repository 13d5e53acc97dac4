"""From layers to frames: integers are decoded ahead of the networks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch
from numpy.typing import NDArray
from torch import Tensor

from icmhcodec.adapters import bundles
from icmhcodec.adapters.picture import TaskAdapter
from icmhcodec.adapters.video import BEFORE, VideoAdapter, load_video_adapter
from icmhcodec.codecs.transforms import Adapters
from icmhcodec.container.video import LATENTS, Frame, Header, Reader
from icmhcodec.errors import FormatError, MissingWeightsError, UsageError
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.tensors import to_pixels
from icmhcodec.pipeline.video import layers
from icmhcodec.pipeline.video.ahead import overlapped
from icmhcodec.pipeline.video.encode import AHEAD, as_reference
from icmhcodec.pipeline.video.layers import Integers
from icmhcodec.pipeline.video.plan import Plan, make_plan

_MOST_FINDINGS = 16


@dataclass(frozen=True)
class Shown:
    """A decoded frame: its number, its time, and its pixels uint8 [H,W,1 or 3]."""

    number: int
    time: int
    pixels: NDArray[Any]


@dataclass(frozen=True)
class TaskAdapters:
    """What fits a task's frames to it: in the synthesis and after it of I frames, after P frames.

    They change what is shown, never what later frames refer to.
    """

    stages: Adapters = ()
    picture: TaskAdapter | None = None
    video: VideoAdapter | None = None


def layer_of(header: Header, task: str | None, here: int) -> int:
    """Index of the layer to decode, for a task or the last one of those that are here.

    UsageError where there is no such layer, FormatError where it is not in this part.
    """
    if task is None:
        return here - 1
    number = header.layer_of(task)
    if number is None:
        known = ", ".join(layer.task for layer in header.layers)
        raise UsageError(f"no layer '{task}' in this file; it has {known}")
    if number >= here:
        raise FormatError(f"layer '{task}' is not in this part; join the other part first")
    return number


def adapters_of(networks: Networks, plan: Plan, layer: int, warnings: list[str]) -> TaskAdapters:
    """The adapters of a layer that are here; what is missing is said, and left out."""
    choices = plan.header.layers[layer].choices
    stages: Adapters = ()
    picture: TaskAdapter | None = None
    video: VideoAdapter | None = None
    try:
        if choices[0].adapter is not None:
            stages = networks.stages(choices[0].adapter, "decoder", plan.intra.decoder_channels)
            picture = networks.task_adapter(choices[0].adapter)
        if choices[-1].adapter is not None and plan.inter is not None:
            model = bundles.by_reference("adapter", choices[-1].adapter)
            video = load_video_adapter(model.tensors).to(networks.device)
    except (FormatError, MissingWeightsError) as error:
        warnings.append(f"{error}; decoded without it")
    return TaskAdapters(stages, picture, video)


def decode_frames(
    plan: Plan, frames: Iterable[Frame], layer: int, adapters: TaskAdapters | None = None
) -> Generator[Shown, None, None]:
    """Decode a layer of frames, the first of which is an I frame, as they come.

    Errors: FormatError for damage, and where a frame does not have the layer.
    """
    found = integers_of(plan, frames, layer)
    with closing(overlapped(found, AHEAD, plan.intra.device)) as integers:
        yield from _shown(plan, integers, adapters or TaskAdapters())


@torch.no_grad()
def integers_of(
    plan: Plan, frames: Iterable[Frame], layer: int
) -> Iterator[tuple[Frame, dict[str, Integers]]]:
    """Each frame and the integers of its latents up to a layer: the same on every machine."""
    before: dict[str, Integers] = {}
    for frame in frames:
        before = _integers(plan, frame, layer, before)
        yield frame, before


def _integers(
    plan: Plan, frame: Frame, layer: int, before: dict[str, Integers]
) -> dict[str, Integers]:
    """The integers of a frame's latents up to a layer, given those of the frame before."""
    what = f"frame {frame.number}"
    if frame.layers <= layer:
        task = plan.header.layers[layer].task
        raise FormatError(f"{what}: its layer '{task}' is not here; --partial leaves such out")
    if not frame.intra and plan.inter is None:
        raise FormatError(f"{what}: a P frame in a sequence without a codec of them")
    names = LATENTS[:1] if frame.intra else LATENTS[1:]
    z = {
        name: layers.decode_hyper(plan.parts[name], frame.latents[name], plan.area)
        for name in names
    }
    crcs = [layers.hyper_crc(z.values()), *[0] * layer]
    found: dict[str, Integers] = {}
    for name in names:
        quality = plan.quality(name, frame.qualities)
        found[name] = layers.decode(
            plan.parts[name], z[name], frame.latents[name], quality, plan.area,
            before.get(name), layer + 1, crcs,
        )  # fmt: skip
    layers.check(crcs, frame.crcs[: layer + 1], what)
    return found


@torch.no_grad()
def check_frames(
    networks: Networks, stream: BinaryIO, advance: Callable[[int], None] | None = None
) -> list[str]:
    """What does not decode of all layers that are here, a line each; few where much does not.

    `advance` is told of every frame. MissingWeightsError where it cannot be told.
    """
    reader = Reader(stream, partial=True)
    plan = make_plan(networks, reader.header)
    found: dict[str, Integers] | None = None  # of the last frame; None where its chain is broken
    findings: list[str] = []
    depth = 0  # layers that the frames of the group have had so far
    for frame in reader:
        if not isinstance(frame, Frame) or len(findings) >= _MOST_FINDINGS:
            continue
        depth = frame.layers if frame.intra else min(depth, frame.layers)
        if frame.intra:
            found = {}
        if found is not None:
            try:
                found = _integers(plan, frame, depth - 1, found)
            except FormatError as error:
                findings.append(str(error))
                found = None
        if advance is not None:
            advance(1)
    return findings


@torch.no_grad()
def _shown(
    plan: Plan, integers: Iterable[tuple[Frame, dict[str, Integers]]], adapters: TaskAdapters
) -> Iterator[Shown]:
    header, codec = plan.header, plan.inter
    width, height = header.width, header.height
    before: deque[Tensor] = deque(maxlen=BEFORE)  # decoded frames, padded, the newest last
    for frame, found in integers:
        y = {
            name: layers.values(
                plan.parts[name], latent, plan.quality(name, frame.qualities), width, height
            )
            for name, latent in found.items()
        }
        if frame.intra:
            decoded = plan.intra.synthesis(y["intra"])
            shown = _adapted_picture(plan, y["intra"], decoded, adapters)
        else:
            if codec is None or not before:
                raise FormatError(f"frame {frame.number}: no I frame before it")
            prediction = codec.prediction(y["motion"], before[-1])
            decoded = codec.reconstruct(y["residual"], prediction)
            shown = decoded
            if adapters.video is not None:
                shown = adapters.video.adapted(decoded, list(before))
        before.append(as_reference(decoded, width, height))
        pixels = to_pixels(shown, width, height, header.channels)
        yield Shown(frame.number, frame.time, pixels)


def _adapted_picture(plan: Plan, y: Tensor, decoded: Tensor, adapters: TaskAdapters) -> Tensor:
    shown = plan.intra.synthesis(y, adapters.stages) if any(adapters.stages) else decoded
    return shown if adapters.picture is None else adapters.picture(shown)
