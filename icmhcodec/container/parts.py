"""Cutting a file into parts and joining them again, by copying bytes (formats/icm.md, 9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from icmhcodec.container.chunks import (
    PREAMBLE_BYTES,
    Buffer,
    Key,
    Scan,
    Span,
    label,
    scan,
)
from icmhcodec.container.header import Header
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.errors import FormatError, UsageError


def split(data: Buffer, tasks: Sequence[str], *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The part that the given tasks need; an exact prefix of a scalable file.

    UsageError where the file has no layer for a task, or this part of it holds none.
    """
    found = scan(data, limits=limits)
    return _copy(found.view, (found.spans[0], *_chosen(found, tasks)))


def rest(data: Buffer, tasks: Sequence[str], *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The part that `split` leaves: the header and all other chunks."""
    found = scan(data, limits=limits)
    chosen = {span.place for span in _chosen(found, tasks)}
    return _copy(found.view, (span for span in found.spans if span.place not in chosen))


def join(parts: Sequence[Buffer], *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The file that the parts are of, or a larger part of it; their order is of no matter.

    FormatError where they are parts of different files or do not agree.
    """
    if not parts:
        raise UsageError("join: no parts")
    scans = [scan(part, limits=limits) for part in parts]
    first = scans[0]
    spans: dict[int, tuple[Scan, Span]] = {}
    for number, found in enumerate(scans):
        if _beginning(found) != _beginning(first):
            raise FormatError(f"join: part {number + 1} is of another file than part 1")
        for span in found.spans:
            other, same = spans.setdefault(span.place, (found, span))
            # Memoryviews compare item by item: copies are faster, and few chunks come twice.
            if other is not found and bytes(_bytes(other, same)) != bytes(_bytes(found, span)):
                raise FormatError(f"join: two parts differ in the chunk at place {span.place}")
    chunks = (_bytes(*spans[place]) for place in sorted(spans))
    joined = b"".join([first.view[:PREAMBLE_BYTES], *chunks])
    scan(joined, limits=limits)  # chunks of different parts must fit each other
    return joined


def _beginning(found: Scan) -> memoryview:
    return found.view[: found.spans[0].stop]


def _bytes(found: Scan, span: Span) -> memoryview:
    return found.view[span.offset : span.stop]


def _chosen(found: Scan, tasks: Sequence[str]) -> list[Span]:
    """The runs of the tasks' groups, up to and with the tasks' layers."""
    wanted = {key for task in tasks for key in _needed(found.header, task)}
    absent = wanted - {span.key for span in found.spans}
    if absent:
        names = ", ".join(label(found.header, key) for key in sorted(absent))
        raise UsageError(f"split: this part of the file lacks {names}; join it with the others")
    chosen: list[Span] = []
    run: list[Span] = []
    for span in found.spans[1:]:
        run.append(span)
        if span.critical:
            chosen += run if span.key in wanted else []
            run = []
    return chosen


def _needed(header: Header, task: str) -> Iterable[Key]:
    """Critical chunks without which a task's picture cannot be decoded."""
    last = header.layer_of(task)
    if last is None:
        names = ", ".join(layer.task for layer in header.layers)
        raise UsageError(f"split: the file has no layer {task!r}; it has {names}")
    group = header.layers[last].group
    yield "HYPR", group
    for number, layer in enumerate(header.layers[: last + 1]):
        if layer.group == group:
            yield "LAYR", number


def _copy(view: memoryview, spans: Iterable[Span]) -> bytes:
    return b"".join([view[:PREAMBLE_BYTES], *(view[span.offset : span.stop] for span in spans)])
