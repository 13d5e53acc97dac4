"""What stands where in a file."""

from __future__ import annotations

from dataclasses import dataclass

from icmhcodec.container.chunks import Buffer, label, scan
from icmhcodec.container.contents import Container
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.read import parse


@dataclass(frozen=True)
class ChunkInfo:
    """A chunk: its bytes in the file (offset, size), those of its payload, and what it is.

    `group` and `layer` are the indexes that a hyper-latent and a layer have in the header.
    """

    type: str
    place: int
    offset: int
    size: int
    payload: int
    meaning: str
    group: int | None = None
    layer: int | None = None


def inspect(
    data: Buffer, *, partial: bool = False, limits: Limits = DEFAULT_LIMITS
) -> list[ChunkInfo]:
    """The chunks of a file or part, the header first; with 10 bytes before it they are the file."""
    found = scan(data, partial=partial, limits=limits)
    infos = []
    for span in found.spans:
        layer = span.index if span.type == "LAYR" else None
        group = span.index if span.type == "HYPR" else None
        if layer is not None:
            group = found.header.layers[layer].group
        meaning = label(found.header, span.key)
        size = span.stop - span.offset
        payload = span.end - span.start
        infos.append(
            ChunkInfo(span.type, span.place, span.offset, size, payload, meaning, group, layer)
        )
    return infos


def overhead(data: Buffer, *, limits: Limits = DEFAULT_LIMITS) -> int:
    """Bytes that neither coded segments and masks nor ancillary chunks take."""
    ancillary = sum(info.size for info in inspect(data, limits=limits) if info.type[0].islower())
    return memoryview(data).nbytes - ancillary - _coded(parse(data, limits=limits))


def _coded(container: Container) -> int:
    segments = [part for group in container.hyper.values() for part in group]
    for layer in container.layers.values():
        segments += [layer.mask, *layer.segments]
        for tile in layer.tiles:
            segments += [tile.mask, *tile.segments]
    return sum(len(segment) for segment in segments)
