"""What a sequence holds and what each part of it costs, counted while it streams."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import BinaryIO

from icmhcodec.container.contents import LayerData
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.structure import UnknownFeatureError
from icmhcodec.container.video import chunks, frames
from icmhcodec.container.video.chunks import ChunkStream, StreamChunk
from icmhcodec.container.video.header import LATENTS, Header
from icmhcodec.container.video.index import Digest, Index, unpack_index
from icmhcodec.errors import FormatError


@dataclass
class Inspection:
    """The counts of a sequence or a part of it.

    `bytes` has coded bytes by what they are: "hyper motion", "det residual", ..., "audio",
    "metadata"; what is left of `size` is header, index and frames of chunks. `layers` counts for
    each layer the frames that have it.
    """

    header: Header
    version: tuple[int, int]
    size: int = 0
    groups: int = 0
    packets: int = 0
    layers: list[int] = field(default_factory=list)
    bytes: Counter[str] = field(default_factory=Counter)
    index: Index | None = None
    complete: bool = False
    damage: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """How many frames there are, of which some layers may be missing."""
        return max(self.layers)

    @property
    def overhead(self) -> int:
        """Bytes that neither coded data nor ancillary payloads take."""
        return self.size - sum(self.bytes.values())

    @property
    def missing(self) -> tuple[str, ...]:
        """What the complete sequence has and this one has not, as far as that can be told."""
        total = self.index.frames if self.index else self.frames
        absent = [
            f"layer {number} {layer.task}" + (f" of {total - held} frames" if held else "")
            for number, (layer, held) in enumerate(
                zip(self.header.layers, self.layers, strict=True)
            )
            if held < total or not held
        ]
        if self.index is None:
            absent.append("the index")
        elif not absent and not self.complete:
            absent.append("other chunks")
        return tuple(absent)


def inspect(
    stream: BinaryIO, *, partial: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Inspection:
    """Read a whole stream and count what is in it; nothing is kept.

    FormatError where it is damaged; `partial` lists the damage instead.
    """
    source = ChunkStream(stream, partial=partial, limits=limits)
    found = Inspection(source.header, source.version, layers=[0] * len(source.header.layers))
    digest = Digest()
    digest.add(source.head.crc)
    for chunk in source:
        if chunk is None:
            continue
        try:
            _count(found, chunk, digest, limits)
        except FormatError as error:
            if not partial or isinstance(error, UnknownFeatureError):
                raise
            source.note(str(error))
        digest.add(chunk.crc)
    found.size = source.size
    found.damage = tuple(source.damage)
    found.complete = found.complete and not found.damage
    return found


def _count(found: Inspection, chunk: StreamChunk, digest: Digest, limits: Limits) -> None:
    header, payload = found.header, chunk.payload
    if chunk.type in chunks.FIRST:
        intra = chunk.type == chunks.INTRA
        first = frames.unpack_first(header, intra, payload, chunk.name)
        for index, hyper in zip(header.latents_of(intra), first.hyper, strict=True):
            found.bytes[f"hyper {LATENTS[index]}"] += sum(map(len, hyper))
        found.groups += intra
        _count_layer(found, intra, 0, first.layer)
    elif chunk.type in chunks.LATER:
        intra = chunk.type == chunks.INTRA_LATER
        later = frames.unpack_later(header, intra, payload, chunk.name)
        _count_layer(found, intra, later.layer, later.data)
    elif chunk.type == chunks.AUDIO:
        found.packets += 1
        found.bytes["audio"] += len(frames.unpack_audio(header, payload, chunk.name).data)
    elif chunk.type == chunks.INDEX:
        found.index = unpack_index(chunk, limits)
        found.complete = chunk.place == digest.chunks
        if found.complete and found.index.digest != digest.value():
            raise FormatError("damaged: the index is of other chunks than those before it")
    else:
        found.bytes["metadata"] += len(payload)


def _count_layer(found: Inspection, intra: bool, layer: int, data: tuple[LayerData, ...]) -> None:
    found.layers[layer] += 1
    task = found.header.layers[layer].task
    for index, part in zip(found.header.latents_of(intra), data, strict=True):
        found.bytes[f"{task} {LATENTS[index]}"] += len(part.mask) + sum(map(len, part.segments))
