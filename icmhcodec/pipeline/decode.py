"""From a file to a picture."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from functools import partial as partial_
from typing import Any

import torch
from torch import Tensor

from icmhcodec import container
from icmhcodec.adapters.picture import TaskAdapter
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.codecs.transforms import Adapters
from icmhcodec.container import HUMAN, Chunk, Container, Header, Reference, Region, metadata
from icmhcodec.errors import FormatError, MissingWeightsError, UsageError
from icmhcodec.imageio import Picture, alpha
from icmhcodec.pipeline import blocks, latent
from icmhcodec.pipeline.area import Area, area_of
from icmhcodec.pipeline.encode import ALPHA
from icmhcodec.pipeline.latent import LayerToDecode, Prior
from icmhcodec.pipeline.networks import Networks

Crop = tuple[int, int, int, int]  # x, y, width, height


@dataclass(frozen=True)
class Decoded:
    """A decoded picture, the layer it is of ("human" or a task), and what there is to say.

    `adapted` says what fitted it to its task: "decoder" where adapters stood in the synthesis,
    "task adapter" where one followed it (EAC's psi).
    """

    picture: Picture
    layer: str
    warnings: tuple[str, ...]
    adapted: tuple[str, ...] = ()


@torch.no_grad()
def decode(
    networks: Networks,
    data: bytes,
    layer: str | None = None,
    partial: bool = False,
    crop: Crop | None = None,
) -> Decoded:
    """Decode a layer ("human" or a task's name), or the best that the file holds.

    `partial` decodes what is intact of a cut or damaged file and leaves the rest at its means;
    `crop` decodes a region of the picture, with no more of the rest than it needs.
    Errors: FormatError for damage and missing layers, MissingWeightsError, UsageError.
    """
    file = container.parse(data, partial=partial)
    warnings = list(file.damage)
    region = _region(file.header, crop)
    chosen = _choose(file, layer, partial, warnings)
    wanted = file.header.layers[chosen]
    group = file.header.groups[wanted.group]
    # bfloat16 has 8 bits itself.
    dtype = networks.dtype(group.quality if file.header.depth == 8 else None)
    codec = networks.base_of(group.codec, dtype)
    stages, after = _adapters(networks, codec, wanted.adapter, warnings)
    header = file.header
    size = header.width, header.height
    positions = None if crop is None else blocks.needed(codec, size, region, stages, after)
    area = area_of(*size, header.tiles, positions)
    prior, symbols = _latent(codec, file, chosen, partial, area)
    read = partial_(latent.values_of, codec, prior, symbols, area, group.quality)
    channels = 1 if header.channels <= 2 else 3
    picture = Picture(
        blocks.synthesis(codec, read, size, region, stages, channels, header.depth, after)
    )
    if wanted.task == HUMAN:  # a task's picture has neither alpha nor metadata
        picture = _with_extras(picture, file, warnings, partial, region)
    parts = {"decoder": any(s is not None for s in stages), "task adapter": after is not None}
    adapted = tuple(name for name, is_there in parts.items() if is_there)
    return Decoded(picture, wanted.task, tuple(warnings), adapted)


def _adapters(
    networks: Networks, codec: BaseCodec, reference: Reference | None, warnings: list[str]
) -> tuple[Adapters, TaskAdapter | None]:
    """The adapters of a layer's picture, all or none: without them it is a picture as well."""
    if reference is None:
        return (), None
    try:
        stages = networks.stages(reference, "decoder", codec.decoder_channels)
        return stages, networks.task_adapter(reference)
    except (FormatError, MissingWeightsError) as error:
        warnings.append(f"{error}; decoded without it")
        return (), None


def _region(header: Header, crop: Crop | None) -> Region:
    """The rows and columns of a crop, or all; UsageError where it is not inside the picture."""
    if crop is None:
        return (0, header.height), (0, header.width)
    try:
        x, y, width, height = map(operator.index, crop)
    except (TypeError, ValueError):
        raise UsageError(f"crop {crop}: four whole numbers, x, y, width and height") from None
    inside = 0 <= x < x + width <= header.width and 0 <= y < y + height <= header.height
    if not inside:
        raise UsageError(
            f"crop {x},{y},{width},{height}: it does not lie in the picture of "
            f"{header.width}x{header.height} pixels"
        )
    return (y, y + height), (x, x + width)


def symbols_of(networks: Networks, data: bytes) -> dict[str, Tensor]:
    """All integers that the file codes: hyper-symbols of each group, symbols of each layer's union.

    Of a part, those that decode from what it holds. Names are "hyper 0" and "layer 1 det"; tensors
    int32 on the CPU. For checks of exactness.
    """
    file = container.parse(data)
    result = {}
    for number in file.hyper:
        codec = networks.base_of(file.header.groups[number].codec, torch.float32)
        result[f"hyper {number}"] = _hyper(codec, file, number).cpu()
    for number, layer in enumerate(file.header.layers):
        if not _whole(file, number):
            continue
        codec = networks.base_of(file.header.groups[layer.group].codec, torch.float32)
        _, symbols = _latent(codec, file, number, partial=False)
        result[f"layer {number} {layer.task}"] = symbols.cpu()
    return result


def check_layers(networks: Networks, data: bytes) -> list[str]:
    """What does not decode of the layers and extras that a file or part holds, a line each.

    MissingWeightsError where that cannot be told.
    """
    findings = []
    file = container.parse(data, partial=True)
    for number, layer in enumerate(file.header.layers):
        if not _whole(file, number):
            continue
        try:
            codec = networks.base_of(file.header.groups[layer.group].codec, torch.float32)
            _latent(codec, file, number, partial=False)
        except FormatError as error:
            findings.append(f"layer {number} ({layer.task}): {error}")
    for chunk in file.ancillary:
        try:
            _extra(file.header, chunk)
        except FormatError as error:
            findings.append(str(error))
    return findings


def _needed(header: Header, chosen: int) -> list[int]:
    """The layers that a layer's picture is made of: its group's up to itself."""
    group = header.layers[chosen].group
    return [n for n, layer in enumerate(header.layers) if layer.group == group and n <= chosen]


def _whole(file: Container, chosen: int) -> bool:
    group = file.header.layers[chosen].group
    return group in file.hyper and all(n in file.layers for n in _needed(file.header, chosen))


def _choose(file: Container, layer: str | None, partial: bool, warnings: list[str]) -> int:
    """Index of the layer to decode; says so where it is not what a person expects."""
    tasks = [entry.task for entry in file.header.layers]
    if layer is not None:
        chosen = _named(file, tasks, layer, partial)
    else:
        chosen = _best(file, partial)
        if tasks[chosen] != HUMAN:
            warnings.append(
                f"no complete human layer here: this is the picture for '{tasks[chosen]}'"
            )
    warnings += [
        f"layer '{tasks[n]}' is not (wholly) here: what it holds is left at its mean"
        for n in _needed(file.header, chosen)
        if n not in file.layers
    ]
    return chosen


def _best(file: Container, partial: bool) -> int:
    """The last layer that is whole, or where `partial` allows it the last that came at all."""
    layers = range(len(file.header.layers))
    whole = [n for n in layers if _whole(file, n)]
    if partial and not whole:
        placed = [n for n in layers if _has_hyper(file, n)]
        # With the side information alone, the first one is what the fewest bits are missing of.
        whole = [n for n in placed if n in file.layers] or placed[:1]
    if not whole:
        raise FormatError(
            "no layer of this part is complete; join the part with the layers before it"
            if not file.hyper
            else "no layer of this file is complete; decode what there is with --partial"
        )
    return whole[-1]


def _has_hyper(file: Container, number: int) -> bool:
    return file.header.layers[number].group in file.hyper


def _named(file: Container, tasks: list[str], layer: str, partial: bool) -> int:
    if layer not in tasks:
        raise UsageError(f"no layer '{layer}' in this file; it has {', '.join(tasks)}")
    number = tasks.index(layer)
    if not _whole(file, number) and not (partial and _has_hyper(file, number)):
        here = [task for n, task in enumerate(tasks) if _whole(file, n)]
        raise FormatError(
            f"layer '{layer}' is not (wholly) in this part, which has {', '.join(here) or 'none'}; "
            "join the other part first, or decode with --partial"
        )
    return number


def _hyper(codec: BaseCodec, file: Container, number: int) -> Tensor:
    group = file.header.groups[number]
    segments = file.hyper[number]
    return latent.decode_hyper(codec, group, segments, file.header.width, file.header.height)


def _latent(
    codec: BaseCodec, file: Container, chosen: int, partial: bool, area: Area | None = None
) -> tuple[Prior, Tensor]:
    """Prior and symbols [M,h,w] of a layer and those before it in its group, perhaps of an area."""
    header = file.header
    number = header.layers[chosen].group
    z_symbols = _hyper(codec, file, number)
    area = area or area_of(header.width, header.height, header.tiles)
    needed = [
        LayerToDecode(n, header.layers[n], file.layers.get(n)) for n in _needed(header, chosen)
    ]
    if partial:
        needed = _until_mask_is_missing(needed)
    return latent.decode_layers(codec, z_symbols, header.groups[number], area, needed)


def _until_mask_is_missing(layers: list[LayerToDecode]) -> list[LayerToDecode]:
    """Layers after a lost explicit mask cannot be placed."""
    for n, item in enumerate(layers):
        if item.data is None and item.layer.mask is container.MaskKind.EXPLICIT:
            return layers[:n]
    return layers


def _with_extras(
    picture: Picture, file: Container, warnings: list[str], partial: bool, region: Region
) -> Picture:
    """The picture with the file's alpha and metadata; of damaged ones `partial` warns."""
    extras: dict[str, Any] = {}
    for chunk in file.ancillary:
        try:
            extras |= _extra(file.header, chunk)
        except FormatError as error:
            if not partial:
                raise
            warnings.append(str(error))
    if file.header.has_alpha and all(chunk.type != ALPHA for chunk in file.ancillary):
        warnings.append("the alpha channel is not in this part")
    if "alpha" in extras:
        (top, bottom), (left, right) = region
        extras["alpha"] = extras["alpha"][top:bottom, left:right]
    return replace(picture, **extras)


def _extra(header: Header, chunk: Chunk) -> dict[str, Any]:
    """What an ancillary chunk adds to the picture, by the name of the field."""
    if chunk.type == ALPHA:
        return {"alpha": alpha.decode(chunk.payload, header.width, header.height, header.depth)}
    if chunk.type in metadata.METADATA:
        return {metadata.METADATA[chunk.type]: metadata.unpack(chunk)}
    return {}
