"""Finding a file's chunks and checking that they fit the header and each other."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from icmhcodec.container import structure
from icmhcodec.container.header import NO_ID, Header, unpack_header
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.names import HUMAN, Version
from icmhcodec.container.structure import (
    SEQUENCE_VERSION,
    SIGNATURE,
    VERSION,
    UnknownFeatureError,
)
from icmhcodec.errors import FormatError, NewerVersionError

Buffer = bytes | bytearray | memoryview
Key = tuple[str, int]  # type and index of a critical chunk

PREAMBLE_BYTES = len(SIGNATURE) + len(VERSION)
SEQUENCE_TYPE = "SEQH"
STANDARD = ("iCCp", "eXIf", "xMPp", "aLPh")
_INDEXED = ("HYPR", "LAYR")
_TYPE = re.compile(rb"[A-Za-z]{4}")
_KNOWN_TYPE = re.compile("|".join((*_INDEXED, *STANDARD)).encode())
# Salvaging a file checks at most so many bytes and passes over it; a candidate counts as 1024 more.
_SALVAGE_BYTES = 1 << 20
_SALVAGE_PASSES = 8
_CANDIDATE_BYTES = 1024


@dataclass(frozen=True)
class Span:
    """Where a chunk stands: it takes the bytes from offset to stop, its payload start to end."""

    type: str
    place: int
    index: int
    offset: int
    start: int
    end: int
    crc: int

    @property
    def stop(self) -> int:
        """Offset of the byte after the chunk."""
        return self.end + 4

    @property
    def critical(self) -> bool:
        """Whether the picture cannot be decoded without the chunk."""
        return self.type[0].isupper()

    @property
    def key(self) -> Key:
        """Type and index: group of a HYPR, layer of a LAYR."""
        return self.type, self.index


@dataclass(frozen=True)
class Scan:
    """A file's bytes, its header and its chunks (the header's first); nothing is copied."""

    view: memoryview
    header: Header
    spans: tuple[Span, ...]
    damage: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether no chunk is missing."""
        return len(self.spans) == self.header.chunks

    @property
    def missing(self) -> tuple[str, ...]:
        """What the complete file has and this one has not."""
        present = {span.key for span in self.spans}
        absent = [label(self.header, key) for key in critical_keys(self.header)
                  if key not in present]  # fmt: skip
        total = self.header.ancillary
        ancillary = total - sum(not span.critical for span in self.spans)
        if ancillary:
            absent.append(f"{ancillary} of {total} ancillary chunks")
        return tuple(absent)


def critical_keys(header: Header) -> list[Key]:
    """The critical chunks after the header, in file order."""
    keys: list[Key] = []
    for number, layer in enumerate(header.layers):
        if not number or layer.group != header.layers[number - 1].group:
            keys.append(("HYPR", layer.group))
        keys.append(("LAYR", number))
    return keys


def label(header: Header, key: Key) -> str:
    """What a chunk is, for people."""
    type_, index = key
    if type_ == "LAYR":
        return f"layer {index} {header.layers[index].task}"
    names = {"HEAD": "header", "HYPR": f"hyper {index}", "iCCp": "icc", "eXIf": "exif",
             "xMPp": "xmp", "aLPh": "alpha"}  # fmt: skip
    return names.get(type_, "unknown")


def scan(
    data: Buffer,
    *,
    partial: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Scan:
    """Find and check all chunks; FormatError or NewerVersionError where the file is not valid.

    `partial` keeps the intact chunks of a damaged file and says what was wrong.
    """
    view = memoryview(data).cast("B")
    version = check_preamble(view)
    with refusing_newer(version):
        head, header = _read_header(view, version, limits)
        spans, damage = _walk(view, head, header, partial)
        _check_sizes(header, spans, limits)
        result = Scan(view, header, tuple(spans), tuple(damage))
        try:
            _check_complete(result)
        except FormatError as error:
            if not partial:
                raise
            return replace(result, damage=(*damage, str(error)))
        return result


def read_header(data: Buffer, limits: Limits = DEFAULT_LIMITS) -> Header:
    """The header alone; what follows it need not be there and is not looked at."""
    view = memoryview(data).cast("B")
    version = check_preamble(view)
    with refusing_newer(version):
        return _read_header(view, version, limits)[1]


def check_preamble(view: memoryview) -> Version:
    """The version of a file; FormatError for what is no .icm file."""
    start = bytes(view[:PREAMBLE_BYTES])
    if not start:
        raise FormatError("not an .icm file: it is empty")
    if not start.startswith(SIGNATURE[: len(start)]):
        altered = start.startswith(SIGNATURE[:4])
        raise FormatError(
            "damaged at byte 4: the signature was altered, perhaps by a transfer as text"
            if altered
            else "not an .icm file: it does not begin with the signature"
        )
    if len(start) < PREAMBLE_BYTES:
        raise _truncated(view, f"{PREAMBLE_BYTES - len(start)} bytes of signature and version")
    major, minor = start[-2:]
    if major > VERSION[0]:
        raise NewerVersionError(
            f"format version {major}.{minor}, but this reader knows {VERSION[0]}.x: update icmh"
        )
    if (major, minor) == (0, 0):
        raise FormatError("damaged at byte 9: there is no format version 0.0")
    return major, minor


@contextmanager
def refusing_newer(version: Version) -> Iterator[None]:
    """In a file of a newer minor version, what is not known is new rather than wrong."""
    try:
        yield
    except UnknownFeatureError as error:
        if version <= SEQUENCE_VERSION:
            raise
        raise NewerVersionError(
            f"{error}; format version {version[0]}.{version[1]} is newer: update icmh"
        ) from None


def _truncated(view: memoryview, missing: str) -> FormatError:
    return FormatError(
        f"truncated at byte {len(view)}: {missing} missing; get it again, or decode what is there "
        "with partial"
    )


def _read_header(view: memoryview, version: Version, limits: Limits) -> tuple[Span, Header]:
    head = _chunk_head(view, PREAMBLE_BYTES)
    if head.type == SEQUENCE_TYPE:
        raise FormatError("a clip, not a picture")
    if head.type != "HEAD" or head.place:
        raise FormatError(f"damaged at byte {head.offset}: {head.type}, but no header begins here")
    if head.end - head.start > limits.header:
        raise FormatError(f"header: more than {limits.header} bytes are beyond the limit")
    span = _checked(view, head)
    return span, unpack_header(bytes(view[span.start : span.end]), version, limits)


def _chunk_head(view: memoryview, offset: int) -> Span:
    """A chunk by its type, place and length; neither payload nor CRC is looked at."""
    data = bytes(view[offset : offset + structure.CHUNK_HEAD_BYTES])
    if len(data) >= 4 and not _TYPE.match(data):
        raise FormatError(f"damaged at byte {offset}: no chunk begins here")
    numbers = sum(byte < 0x80 for byte in data[4:])
    if len(data) < structure.CHUNK_HEAD_BYTES and numbers < 2:
        raise _truncated(view, f"the rest of the head of the chunk at byte {offset} is")
    head = structure.unpack(structure.CHUNK, data, f"damaged at byte {offset}, chunk")
    start = offset + head.size
    return Span(head.type.decode(), head.place, 0, offset, start, start + head.length, 0)


def _checked(view: memoryview, head: Span) -> Span:
    """The chunk with its CRC, which is right, and its index; FormatError where it is not."""
    what = f"{head.type} at byte {head.offset}"
    if head.stop > len(view):
        raise _truncated(view, f"{head.stop - len(view)} bytes of {what} are")
    crc = int.from_bytes(view[head.end : head.stop], "little")
    if crc != zlib.crc32(view[head.offset : head.end]):
        raise FormatError(f"damaged: {what} has a wrong CRC")
    if head.critical and head.type not in ("HEAD", *_INDEXED):
        raise UnknownFeatureError(f"{what} is needed to decode the picture and is not known")
    if head.type[2].islower():
        raise UnknownFeatureError(f"{what} has a reserved type")
    index = 0
    if head.type in _INDEXED:
        payload = bytes(view[head.start : min(head.end, head.start + structure.NUMBER_BYTES)])
        index = structure.unpack(structure.Number, payload, what)
    return replace(head, index=index, crc=crc)


def _walk(
    view: memoryview, head: Span, header: Header, partial: bool
) -> tuple[list[Span], list[str]]:
    spans, damage = [head], []
    budget = _SALVAGE_BYTES + _SALVAGE_PASSES * len(view)
    offset = head.stop
    while offset < len(view):
        try:
            if spans[-1].place + 1 == header.chunks:
                raise FormatError(f"damaged at byte {offset}: bytes follow after the last chunk")
            span = _checked(view, _chunk_head(view, offset))
            _check_place(header, spans, span)
        except FormatError as error:
            if not partial or isinstance(error, UnknownFeatureError):
                raise
            damage.append(str(error))
            found, budget = _salvage(view, offset, header, spans, budget)
            if found is None:
                damage.append(f"too much damage: chunks after byte {offset} were given up")
                break
            offset = found
        else:
            spans.append(span)
            offset = span.stop
    return spans, damage


def _salvage(
    view: memoryview, offset: int, header: Header, spans: Sequence[Span], budget: int
) -> tuple[int | None, int]:
    """Offset of the next intact chunk after a damaged one, and what is left of the budget.

    The file's end if there is no such chunk, None if the budget was used up before one was found.
    """
    claimed = len(view)
    with suppress(FormatError):
        stop = _chunk_head(view, offset).stop
        if stop <= len(view):
            claimed = stop
            budget -= stop - offset  # its CRC was computed
    for candidate in _candidates(view, offset, claimed):
        if budget <= 0:
            return None, budget
        budget -= _CANDIDATE_BYTES
        try:
            head = _chunk_head(view, candidate)
            if head.stop <= len(view):
                budget -= head.end - head.start
            _check_place(header, spans, _checked(view, head))
        except UnknownFeatureError:
            return candidate, budget
        except FormatError:
            continue
        return candidate, budget
    return len(view), budget


def _candidates(view: memoryview, offset: int, claimed: int) -> Iterator[int]:
    """Where a chunk of a known type may begin, and where the damaged one says that it ends."""
    # Two searches, so that over a whole file every byte is looked at once.
    for match in _KNOWN_TYPE.finditer(view, offset + 1, claimed + 3):
        yield match.start()
    if claimed < len(view):
        yield claimed
    for match in _KNOWN_TYPE.finditer(view, claimed + 1):
        yield match.start()


def _check_place(header: Header, spans: Sequence[Span], span: Span) -> None:
    """Raise FormatError where a chunk cannot follow the given ones; some may be missing."""
    keys = critical_keys(header)
    if span.critical and span.key not in keys:
        raise FormatError(f"damaged: the header knows no {span.type} {span.index}")
    last = next(i for i in reversed(range(len(spans))) if spans[i].critical)
    position = keys.index(spans[last].key) if last else -1
    # Ancillary chunks that stand before this one in the complete file: at least so many.
    ancillary = spans[last].place - 1 - position + len(spans) - 1 - last
    fits = spans[-1].place < span.place < header.chunks and (
        _critical_fits(header, spans, span, keys.index(span.key), position, ancillary)
        if span.critical
        else _ancillary_fits(header, spans, span, ancillary)
    )
    if not fits:
        what = f"{label(header, span.key)} ({span.type} at byte {span.offset})"
        raise FormatError(f"damaged: {what} stands twice or where it cannot")


def _critical_fits(
    header: Header, spans: Sequence[Span], span: Span, position: int, previous: int, ancillary: int
) -> bool:
    if position <= previous:
        return False
    before = span.place - 1 - position
    if header.layers[span.index].task == HUMAN and span.type == "LAYR":
        return before == header.ancillary
    after_metadata = any(other.type in STANDARD for other in spans)
    return ancillary <= before <= header.ancillary and not after_metadata


def _ancillary_fits(header: Header, spans: Sequence[Span], span: Span, ancillary: int) -> bool:
    human = header.has_human
    if ancillary >= header.ancillary or (human and span.place == header.chunks - 1):
        return False
    if span.type not in STANDARD:
        return True
    if span.type == "aLPh" and not header.has_alpha:
        return False
    rank = STANDARD.index(span.type)
    in_order = all(other.type not in STANDARD[rank:] for other in spans)
    return in_order and span.place > len(critical_keys(header)) - human


def _check_sizes(header: Header, spans: Sequence[Span], limits: Limits) -> None:
    sizes = [(span.type, span.end - span.start) for span in spans if not span.critical]
    alpha = sum(size for type_, size in sizes if type_ == "aLPh")
    if alpha > header.depth // 4 * header.width * header.height + 1024:
        raise FormatError(f"alpha: {alpha} bytes are beyond the limit")
    metadata = sum(size for _, size in sizes) - alpha
    if metadata > limits.metadata:
        raise FormatError(f"metadata: {metadata} bytes are beyond the limit of {limits.metadata}")


def file_id(header: bytes, crcs: Iterable[int]) -> bytes:
    """File id of a header's payload (its id is ignored) and the CRCs of all other chunks."""
    digest = hashlib.sha256(NO_ID + header[len(NO_ID) :])
    digest.update(b"".join(crc.to_bytes(4, "little") for crc in crcs))
    return digest.digest()[: len(NO_ID)]


def _check_complete(scan: Scan) -> None:
    """Raise FormatError where a file with all its chunks is not what its header says."""
    if not scan.complete:
        return
    if scan.header.has_alpha != any(span.type == "aLPh" for span in scan.spans):
        raise FormatError("damaged: the header has an alpha channel, the file none")
    head = scan.spans[0]
    expected = file_id(
        bytes(scan.view[head.start : head.end]), (span.crc for span in scan.spans[1:])
    )
    if scan.header.file_id != expected:
        raise FormatError("damaged: the file id is wrong; the chunks are not those of the header")
