"""From a picture to a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from icmhcodec import container
from icmhcodec.adapters import bundles
from icmhcodec.codecs.contract import QUALITY_UNIT, BaseCodec
from icmhcodec.codecs.transforms import Adapters
from icmhcodec.container import (
    DEFAULT_LIMITS,
    HUMAN,
    SQUARE,
    Chunk,
    Group,
    Header,
    Layer,
    LayerData,
    Reference,
    metadata,
)
from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.imageio import Picture, alpha
from icmhcodec.masks.predictor import LEVELS
from icmhcodec.pipeline import blocks, latent, refine, search
from icmhcodec.pipeline.area import LATENT_STRIDE, area_of
from icmhcodec.pipeline.latent import Request
from icmhcodec.pipeline.networks import Networks, reference_of

DEFAULT_LEVEL = 2
UNTILED = 1 << 24  # pixels of the largest picture that is not tiled unless this is asked for
TILE = 1024  # pixels of a tile's side
SAMPLE, PATCH = 1 << 20, 128  # pixels of a sample of a large picture, and of its patches' sides
PROFILES = ("scalable", "machine")
ALPHA = "aLPh"


@dataclass(frozen=True)
class Options:
    """What an encoder may be asked for; `with_human` None takes the profile's habit."""

    tasks: tuple[str, ...] = ()
    quality: float = 4.0
    bpp: float | None = None
    size: int | None = None
    task_size: int | None = None
    profile: str = "scalable"
    with_human: bool | None = None
    portable: bool = False
    skip: int | None = None
    strip: bool = False
    masks: Mapping[str, object] | None = None
    tile: int | None = None  # pixels of a side, 0 = untiled
    effort: int = 1  # 1 to 9: how long to search for symbols of fewer bits


@dataclass(frozen=True)
class Encoded:
    """An .icm file, the quality and task levels it has, and whether its targets were met."""

    data: bytes
    quality: float
    levels: tuple[int, ...]
    met: bool


@dataclass(frozen=True)
class _Plan:
    """One group to be coded: its latent y [1,M,H',W'] and its layers in nesting order."""

    y: Tensor
    requests: tuple[Request, ...]


def parse_task(text: str) -> tuple[str, int]:
    """Task name and level of "det" or "det:3"; UsageError where the level is none."""
    task, _, level = text.partition(":")
    if not level:
        return task, DEFAULT_LEVEL
    if not level.isdecimal() or not 1 <= int(level) <= LEVELS:
        raise UsageError(f"task '{text}': a level is a number from 1 to {LEVELS}")
    return task, int(level)


@torch.no_grad()
def encode(networks: Networks, base: str, picture: Picture, options: Options) -> Encoded:
    """Encode a picture; UsageError for options that do not go together."""
    _check(options)
    quality = _quality_units(options.quality)
    target = _target_size(options, picture)
    _grid(picture, options)  # before any work
    searching = target is not None or options.task_size is not None
    codec = networks.base(base, networks.dtype(None if searching else quality))
    plans = _plans(networks, codec, picture, options)
    chunks = _ancillary(picture, options.strip)

    def at(quality: int, shift: int = 0) -> Encoded:
        return _file(codec, picture, plans, chunks, options, quality, shift)

    if target is not None:
        encoded, met = _search(codec, picture, options, lambda q: _sized(at(q)), target)
        encoded = replace(encoded, met=met)
    else:
        encoded = at(quality)
    if options.task_size is not None:
        encoded = _fit_tasks(encoded, options.task_size, at)
    return encoded


def _search(
    codec: BaseCodec,
    picture: Picture,
    options: Options,
    sized: Callable[[int], tuple[int, Encoded]],
    target: int,
) -> tuple[Encoded, bool]:
    """The best file within a size; of a large picture a sample says where to look for it."""
    height, width = picture.pixels.shape[:2]
    if height * width <= UNTILED:
        return search.largest_within(sized, target)
    sample = Picture(_sample(picture.pixels))
    plan = _Plan(blocks.analysis(codec, sample.pixels), (Request(HUMAN),))
    groups = 1 if options.profile == "scalable" else len(options.tasks) + bool(options.with_human)
    share = sample.pixels.size / picture.pixels.size / groups

    def sampled(quality: int) -> tuple[int, int]:
        encoded = _file(codec, sample, [plan], (), replace(options, tile=0), quality, 0)
        return len(encoded.data), quality

    guess, _ = search.largest_within(sampled, max(round(target * share), 1))
    return search.largest_near(sized, target, guess)


def _sample(pixels: NDArray[Any]) -> NDArray[Any]:
    """Patches from all over a large picture, side by side, as one of about SAMPLE pixels."""
    height, width, _ = pixels.shape
    step = PATCH * max(1, round((height * width / SAMPLE) ** 0.5))
    rows = np.concatenate([pixels[y : y + PATCH] for y in range(0, height, step)])
    columns = [rows[:, x : x + PATCH] for x in range(0, width, step)]
    return np.concatenate(columns, axis=1)


def _sized(encoded: Encoded) -> tuple[int, Encoded]:
    return len(encoded.data), encoded


def _check(options: Options) -> None:
    if options.profile not in PROFILES:
        raise UsageError(f"profile '{options.profile}': one of {', '.join(PROFILES)}")
    if options.bpp is not None and options.size is not None:
        raise UsageError("give a target in bits per pixel or in bytes, not both")
    tasks = [parse_task(text)[0] for text in options.tasks]
    if len(set(tasks)) < len(tasks) or HUMAN in tasks:
        raise UsageError("each task is named once, and 'human' is no task")
    for task in tasks:
        if not container.valid_name(task):
            raise UsageError(f"task '{task}': a name is a letter, then letters a-z, 0-9, . and -")
    if not tasks and (options.profile == "machine" or options.with_human is False):
        raise UsageError("a file without the human layer needs a task")
    if options.task_size is not None and not tasks:
        raise UsageError("a size for the task layers needs a task")
    unused = set(options.masks or ()) - set(tasks)
    if unused:
        raise UsageError(f"a mask is given for '{min(unused)}', which is not among the tasks")
    if options.tile and (options.tile < 0 or options.tile % SQUARE):
        raise UsageError(f"tiles of {options.tile} pixels: a multiple of {SQUARE}, or 0 for none")
    if not 1 <= options.effort <= refine.HIGHEST_EFFORT:
        raise UsageError(f"effort {options.effort}: a number from 1 to {refine.HIGHEST_EFFORT}")
    if options.skip is not None and not 0 <= options.skip <= 64:
        raise UsageError(f"skip index {options.skip}: a number from 0 to 64")


def _quality_units(quality: float) -> int:
    if not 0 <= quality <= 9:
        raise UsageError(f"quality {quality}: a number from 0 to 9")
    return round(quality * QUALITY_UNIT)


def _target_size(options: Options, picture: Picture) -> int | None:
    if options.bpp is None:
        size = options.size
    else:
        wanted = options.bpp * picture.pixels.shape[0] * picture.pixels.shape[1] / 8
        if not math.isfinite(wanted):
            raise UsageError(f"a target of {options.bpp} bits per pixel: give a finite number")
        size = int(wanted)
    if size is not None and size < 1:
        raise UsageError("the target is less than a byte")
    return size


def _plans(networks: Networks, codec: BaseCodec, picture: Picture, options: Options) -> list[_Plan]:
    """The groups: one latent for all layers, or one per task and perhaps a human one."""
    pixels = picture.pixels
    human = Request(HUMAN)
    requests = [_request(codec, picture, text, options) for text in options.tasks]
    _refuse_twins(options.tasks, requests)
    if options.profile == "scalable":
        if options.with_human is not False:
            requests.append(human)
        return [_Plan(blocks.analysis(codec, pixels), tuple(requests))]
    plans = []
    for request in requests:
        stages: Adapters = ()
        if request.adapter is not None:
            stages = networks.stages(request.adapter, "encoder", codec.encoder_channels)
        plans.append(_Plan(blocks.analysis(codec, pixels, stages), (request,)))
    if options.with_human:
        plans.append(_Plan(blocks.analysis(codec, pixels), (human,)))
    return plans


def _refuse_twins(texts: Sequence[str], requests: Sequence[Request]) -> None:
    """A task may go by its own name or by its bundle's, but not by both at once."""
    named: dict[str, str] = {}
    for text, request in zip(texts, requests, strict=True):
        other = named.setdefault(request.task, text)
        if other != text:
            raise UsageError(f"'{other}' and '{text}' are one task; name it once")


def _request(codec: BaseCodec, picture: Picture, text: str, options: Options) -> Request:
    """A task's layer: by the caller's mask, or by the task's trained bundle."""
    name, level = parse_task(text)
    base = reference_of(codec)
    adapter = bundles.find("adapter", name, base, options.profile)
    if options.masks and name in options.masks:
        selection = _positions(options.masks[name], picture)
        return Request(name, level, selection, adapter=adapter[1] if adapter else None)
    predictor = bundles.find("predictor", name, base, options.profile)
    bundle = adapter if options.profile == "machine" else predictor
    if bundle is None:
        raise MissingWeightsError(
            f"task '{name}': no {options.profile} bundle for {codec.id} is here (here: "
            f"{_bundles_here(base, name)}); add one with 'icmh models add FILE', or give a mask"
        )
    return Request(
        bundle[0].metadata["task"],
        level,
        predictor=predictor[1] if predictor else None,
        adapter=adapter[1] if adapter else None,
        portable=options.portable,
    )


def _bundles_here(base: Reference, task: str) -> str:
    """The bundles of a codec that are here, and those of a task for others; with their profiles."""
    found = set()
    for _, known in bundles.available():
        other = known["base_fingerprint"] != base.fingerprint.hex()
        if other and known["task"] != task:
            continue
        codec = f" for {known['base']}" if other else ""
        found.add(f"{known['id']} {known.get('profile', 'scalable')}{codec}")
    return ", ".join(sorted(found)) or "none"


def _positions(mask: object, picture: Picture) -> Tensor:
    """A mask over pixels as one over latent positions: those that touch a selected pixel."""
    try:
        pixels = np.array(mask)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a mask cannot be read: {error}") from error
    if pixels.dtype.kind not in "biuf" or pixels.ndim != 2:
        raise UsageError("a mask is an array of numbers of the picture's height and width")
    if pixels.shape != picture.pixels.shape[:2]:
        own, its = ("x".join(map(str, s[1::-1])) for s in (pixels.shape, picture.pixels.shape))
        raise UsageError(f"the mask has {own} pixels, the picture {its}")
    selected = torch.from_numpy(pixels.astype(bool))
    grid = F.max_pool2d(selected[None].float(), LATENT_STRIDE, ceil_mode=True)
    return grid[0].bool()


def _ancillary(picture: Picture, strip: bool) -> list[Chunk]:
    """Metadata and alpha, in the order in which files have them."""
    chunks = []
    for kind, field in metadata.METADATA.items():
        payload = getattr(picture, field)
        # Colours are wrong without their profile: it stays when the rest is stripped.
        if payload and (field == "icc" or not strip):
            chunks.append(metadata.pack(kind, payload))
    if picture.alpha is not None:
        chunks.append(Chunk(ALPHA, alpha.encode(picture.alpha)))
    return chunks


def _file(
    codec: BaseCodec,
    picture: Picture,
    plans: Sequence[_Plan],
    chunks: Sequence[Chunk],
    options: Options,
    quality: int,
    shift: int,
) -> Encoded:
    """The whole file at one quality, the task levels lowered by `shift` (at least 1 remains)."""
    height, width, channels = picture.pixels.shape
    tiles = _grid(picture, options)
    area = area_of(width, height, tiles)
    groups: list[Group] = []
    layers: list[Layer] = []
    hyper: dict[int, tuple[bytes, ...]] = {}
    data: dict[int, LayerData] = {}
    for number, plan in enumerate(plans):
        quantised = latent.quantise(codec, plan.y, area, quality, options.skip)
        if options.effort > 1 and _is_for_people(plan):
            steps = refine.STEPS * (options.effort - 1)
            quantised = latent.refined(codec, plan.y, quantised, picture.pixels, steps)
        requests = [_lowered(request, shift) for request in plan.requests]
        coded = latent.encode_layers(codec, quantised, area, number, requests)
        crc = latent.hyper_crc(quantised.z_symbols)
        groups.append(Group(reference_of(codec), quality, quantised.skip, crc))
        hyper[number] = latent.encode_hyper(codec, quantised.z_symbols)
        for layer, layer_data in coded:
            data[len(layers)] = layer_data
            layers.append(layer)
    header = Header(
        width=width,
        height=height,
        channels=channels + (picture.alpha is not None),
        depth=picture.depth,
        groups=tuple(groups),
        layers=tuple(layers),
        tiles=tiles,
    )
    levels = tuple(layer.level for layer in layers if layer.task != HUMAN)
    blob = container.build(header, hyper, data, chunks)
    return Encoded(blob, quality / QUALITY_UNIT, levels, True)


def _is_for_people(plan: _Plan) -> bool:
    """Whether a group's picture is one to look at: the squared error is not what networks see."""
    return plan.requests[-1].task == HUMAN


def _grid(picture: Picture, options: Options) -> tuple[int, int]:
    """Columns and rows of tiles; UsageError where these are too many."""
    height, width = picture.pixels.shape[:2]
    side = options.tile
    if side is None:
        side = TILE if width * height > UNTILED else 0
    if not side:
        return 1, 1
    columns, rows = container.count_of(width, side), container.count_of(height, side)
    if columns * rows > DEFAULT_LIMITS.tiles:
        raise UsageError(f"{columns}x{rows} tiles, at most {DEFAULT_LIMITS.tiles}; larger tiles")
    return columns, rows


def _lowered(request: Request, shift: int) -> Request:
    return (
        request if request.task == HUMAN else replace(request, level=max(1, request.level - shift))
    )


def _fit_tasks(encoded: Encoded, target: int, at: Callable[[int, int], Encoded]) -> Encoded:
    """Keep the task part within a size: first by the levels, then by the quality."""
    quality = _quality_units(encoded.quality)

    def part(candidate: Encoded) -> int:
        header = container.parse(candidate.data).header
        tasks = [layer.task for layer in header.layers if layer.task != HUMAN]
        return len(container.split(candidate.data, tasks))

    for shift in range(LEVELS):
        candidate = at(quality, shift) if shift else encoded
        if part(candidate) <= target:
            return replace(candidate, met=encoded.met)
        if max(candidate.levels) == 1:
            break

    def lowest(q: int) -> tuple[int, Encoded]:
        candidate = at(min(q, quality), LEVELS)
        return part(candidate), candidate

    found, met = search.largest_within(lowest, target)
    return replace(found, met=met and encoded.met)
