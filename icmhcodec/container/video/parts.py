"""Cutting a sequence and joining it again while it streams (formats/icm.md, 14.7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from icmhcodec.container import structure
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.video import chunks
from icmhcodec.container.video.chunks import ChunkStream, StreamChunk
from icmhcodec.container.video.header import Header
from icmhcodec.container.video.index import Digest, unpack_index
from icmhcodec.errors import FormatError, UsageError

_RESTS = (*chunks.METADATA, chunks.AUDIO, chunks.INDEX)


def split_stream(
    source: BinaryIO,
    tasks: Sequence[str],
    part: BinaryIO | None,
    rest: BinaryIO | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Copy what the tasks need to `part` and all else to `rest`, chunk by chunk, in one pass.

    UsageError where the sequence has no layer for a task, or this part of it holds none;
    FormatError where the source is damaged.
    """
    stream = ChunkStream(source, limits=limits)
    depth = _depth(stream.header, tasks)
    for target in (part, rest):
        if target is not None:
            target.write(stream.beginning)
    for chunk, needed in _sorted(stream, depth):
        target = part if needed else rest
        if target is not None:
            target.write(chunk.data)


def rest_stream(
    source: BinaryIO, tasks: Sequence[str], rest: BinaryIO, *, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Copy what `split_stream` leaves."""
    split_stream(source, tasks, None, rest, limits=limits)


def _depth(header: Header, tasks: Sequence[str]) -> int:
    """How many layers the tasks need: all up to theirs."""
    found = [header.layer_of(task) for task in tasks]
    for task, layer in zip(tasks, found, strict=True):
        if layer is None:
            names = ", ".join(layer.task for layer in header.layers)
            raise UsageError(f"split: the file has no layer {task!r}; it has {names}")
    return 1 + max((layer for layer in found if layer is not None), default=-1)


def _sorted(stream: ChunkStream, depth: int) -> Iterator[tuple[StreamChunk, bool]]:
    """Each chunk and whether it is of the first `depth` layers.

    An ancillary chunk that is not known goes with the critical one before it.
    """
    held: int | None = None  # layers of the last frame
    needed = False
    for chunk in stream:
        assert chunk is not None
        if chunk.type in _RESTS:
            yield chunk, False
            continue
        if chunk.critical:
            layer = _layer(stream.header, chunk)
            if layer == 0:
                _check_held(stream.header, depth if held is None else held, depth)
                held = 0
            _check_held(stream.header, held or 0, min(layer, depth))
            held = max(held or 0, layer + 1)
            needed = layer < depth
        yield chunk, needed


def _layer(header: Header, chunk: StreamChunk) -> int:
    if chunk.type in chunks.FIRST:
        return 0
    payload = bytes(chunk.payload[: structure.NUMBER_BYTES])
    layer: int = structure.unpack(structure.Number, payload, chunk.name)
    if not 1 <= layer < len(header.layers):
        raise FormatError(f"{chunk.name}: the header has no layer {layer} after the first")
    return layer


def _check_held(header: Header, held: int, depth: int) -> None:
    """Refuse to go on where a layer below `depth` is missing."""
    if held < depth:
        task = header.layers[held].task
        raise UsageError(f"split: this part of the file lacks layer {held} {task}; join it first")


def join_streams(
    sources: Sequence[BinaryIO], target: BinaryIO, *, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Merge parts of a sequence by place, chunk by chunk; their order is of no matter.

    FormatError where they are parts of different sequences, damaged, or do not agree; of what does
    not agree some may have been written before.
    """
    if not sources:
        raise UsageError("join: no parts")
    streams = [ChunkStream(source, limits=limits) for source in sources]
    first = streams[0]
    for number, stream in enumerate(streams):
        if stream.beginning != first.beginning:
            raise FormatError(f"join: part {number + 1} is of another file than part 1")
    target.write(first.beginning)
    digest = Digest()
    digest.add(first.head.crc)
    for chunk in _merged(streams):
        if chunk.type == chunks.INDEX and chunk.place == digest.chunks:
            index = unpack_index(chunk, limits)
            if index.digest != digest.value():
                raise FormatError("join: the parts are not all of one file")
        digest.add(chunk.crc)
        target.write(chunk.data)


def _merged(streams: Sequence[ChunkStream]) -> Iterator[StreamChunk]:
    iterators = [iter(stream) for stream in streams]
    heads = [next(iterator, None) for iterator in iterators]
    ended = False
    while present := [head for head in heads if head is not None]:
        place = min(head.place for head in present)
        same = [head for head in present if head.place == place]
        if any(head.data != same[0].data for head in same):
            raise FormatError(f"join: two parts differ in the chunk at place {place}")
        if ended:
            raise FormatError("join: chunks follow after the index; the parts are not of one file")
        ended = same[0].type == chunks.INDEX
        yield same[0]
        for number, head in enumerate(heads):
            if head is not None and head.place == place:
                heads[number] = next(iterators[number], None)
