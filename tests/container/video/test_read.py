import io
import random
import re
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec import container
from icmhcodec.container import Chunk, Limits
from icmhcodec.container.video import AudioPacket, Frame, Reader, Writer, inspect, join_streams
from icmhcodec.container.video.chunks import ChunkStream, StreamChunk, chunk_bytes
from icmhcodec.container.video.index import pack_index
from icmhcodec.errors import FormatError, NewerVersionError
from tests.container.video.samples import (
    PRIVATE,
    TAGS,
    Clip,
    clip,
    frame,
    header,
    packet,
    sequences,
)

CLIP = clip()
BLOB = CLIP.build()


def chunks(blob: bytes = BLOB) -> list[StreamChunk]:
    return [chunk for chunk in ChunkStream(io.BytesIO(blob)) if chunk is not None]


BORDERS = [chunk.offset for chunk in chunks()]


def read(blob: bytes, **options: bool) -> tuple[Reader, list[Frame | AudioPacket | Chunk]]:
    reader = Reader(io.BytesIO(blob), **options)
    return reader, list(reader)


def frames(items: list[Frame | AudioPacket | Chunk]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


def unplaced(items: list[Frame | AudioPacket | Chunk]) -> list[Frame | AudioPacket | Chunk]:
    return [replace(item, place=0) if isinstance(item, Chunk) else item for item in items]


@given(sequences())
@settings(max_examples=50, deadline=None)
def test_round_trip(given_: Clip) -> None:
    blob = given_.build()
    reader, items = read(blob)
    assert unplaced(items) == list(given_.items)
    assert unplaced(list(reader.ancillary)) == list(given_.ancillary)
    assert replace(reader.header, sequence_id=bytes(8)) == given_.header
    assert reader.complete
    assert not reader.damage
    assert Clip(reader.header, items, reader.ancillary).build() == blob
    assert inspect(io.BytesIO(blob)).missing == ()


def test_the_index_says_where_groups_begin() -> None:
    reader, _ = read(BLOB)
    assert reader.index is not None
    assert (reader.index.frames, reader.index.end) == (10, 10)
    assert [entry.frame for entry in reader.index.entries] == [0, 4, 8]
    for entry in reader.index.entries:
        assert BLOB[entry.offset : entry.offset + 4] == b"IFRM"


@pytest.mark.parametrize("wanted", range(10))
def test_seeking(wanted: int) -> None:
    stream = io.BytesIO(b"before" + BLOB)
    stream.seek(6)
    reader = Reader(stream)
    reader.seek(wanted)
    items = list(reader)
    first = frames(items)[0]
    assert first.number == wanted // 4 * 4
    assert frames(items) == frames(list(CLIP.items))[first.number :]
    assert first.number == 0 or reader.position == len(BLOB)


@pytest.mark.parametrize("offset", [2**62, 2**63 - 1])
@pytest.mark.parametrize("seekable", ["bytes", "file"])
def test_an_index_that_points_nowhere_is_passed(tmp_path: Path, offset: int, seekable: str) -> None:
    index = Reader(io.BytesIO(BLOB))
    list(index)
    assert index.index is not None
    entries = (index.index.entries[0], replace(index.index.entries[-1], offset=offset))
    wrong = replace(index.index, entries=entries)
    size = len(chunk_bytes("INDX", chunks()[-1].place, pack_index(wrong, 0)))
    path = tmp_path / "x.icm"
    whole = chunk_bytes("INDX", chunks()[-1].place, pack_index(wrong, size))
    path.write_bytes(BLOB[: BORDERS[-1]] + whole)
    with path.open("rb") as stream:
        reader = Reader(stream if seekable == "file" else io.BytesIO(path.read_bytes()))
        reader.seek(9)
        first = next(item for item in reader if isinstance(item, Frame))
    assert first.number == 0


def test_seeking_without_an_index_begins_at_the_beginning() -> None:
    reader = Reader(io.BytesIO(BLOB[: BORDERS[-1]]))
    reader.seek(9)
    assert len(frames(list(reader))) == 10


@pytest.mark.parametrize("partial", [False, True])
def test_every_truncation(partial: bool) -> None:
    """A stream cut anywhere gives every whole frame before the cut."""
    whole = frames(list(CLIP.items))
    ends = {}
    for chunk in chunks():
        if chunk.type in ("ILYR", "PLYR"):
            ends[chunk.offset + len(chunk.data)] = len(ends) + 1
    begin = chunks()[0].offset
    for length in range(begin, len(BLOB)):
        found, message = [], ""
        reader = Reader.__new__(Reader)
        try:
            reader = Reader(io.BytesIO(BLOB[:length]), partial=partial)
            for item in reader:
                found.append(item)
        except FormatError as error:
            message = str(error)
        expected = max((count for end, count in ends.items() if end <= length), default=0)
        complete = [f for f in frames(found) if f.layers == 2]
        assert complete == whole[:expected]
        if length in BORDERS:
            assert not message
            assert reader.index is None
            assert not reader.complete
        elif partial:
            assert re.match(f"truncated at byte {length}:", reader.damage[-1])
        else:
            assert message.startswith(f"truncated at byte {length}:")


def test_a_cut_header_is_an_error() -> None:
    for length in range(chunks()[0].offset):
        with pytest.raises(FormatError):
            Reader(io.BytesIO(BLOB[:length]), partial=True)


def attempt(blob: bytes, partial: bool) -> tuple[Reader, list[Frame | AudioPacket | Chunk]] | None:
    """What is read, None where that is a typed error of one line."""
    message = ""
    try:
        return read(blob, partial=partial)
    except (FormatError, NewerVersionError) as error:
        message = str(error)
    assert message
    assert "\n" not in message
    return None


def test_mutations() -> None:
    """Anything is a typed error of one line, or frames that were written, and nothing else."""
    rng = random.Random(7)
    whole = {f.number: f for f in frames(list(CLIP.items))}
    for _ in range(2000):
        blob = bytearray(BLOB)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(blob))
            blob[at : at + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 4))
        partial = rng.random() < 0.7
        found = attempt(bytes(blob), partial)
        if found is None:
            continue
        reader, items = found
        for frame_ in frames(items):
            original = whole[frame_.number]
            assert frame_.crcs == original.crcs[: frame_.layers]
            for name, latent in frame_.latents.items():
                assert latent.hyper == original.latents[name].hyper
                assert latent.layers == original.latents[name].layers[: frame_.layers]
        assert reader.complete == (bytes(blob[10:]) == BLOB[10:])
        assert reader.complete or reader.damage or reader.index is None


def resealed(chunk: StreamChunk, payload: bytes) -> bytes:
    body = chunk.data[: chunk.start - 1]  # lengths below 128
    assert len(payload) < 128
    body += bytes([len(payload)]) + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


@given(st.data(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_resealed_mutations(data: st.DataObject, partial: bool) -> None:
    chunk = data.draw(st.sampled_from([c for c in chunks() if len(c.payload) < 120]))
    payload = bytearray(chunk.payload)
    at = data.draw(st.integers(0, len(payload)))
    payload[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    new = resealed(chunk, bytes(payload))
    blob = BLOB[: chunk.offset] + new + BLOB[chunk.offset + len(chunk.data) :]
    found = attempt(blob, partial)
    assert found is None or found[0].complete == (blob == BLOB) or chunk.type == "INDX"


def test_a_damaged_frame_costs_its_group_and_no_more() -> None:
    chunk = next(c for c in chunks() if c.type == "PFRM")  # frame 1
    blob = bytearray(BLOB)
    blob[chunk.offset + 20] ^= 1
    with pytest.raises(FormatError, match=f"PFRM at byte {chunk.offset} has a wrong CRC"):
        read(bytes(blob))
    reader, items = read(bytes(blob), partial=True)
    assert [f.number for f in frames(items)] == [0, 4, 5, 6, 7, 8, 9]
    assert len(reader.damage) == 2  # the chunk, and the frame that lacks it
    assert not reader.complete
    assert len([item for item in items if isinstance(item, AudioPacket)]) == 5


def test_a_damaged_human_layer_costs_no_task_layer() -> None:
    chunk = next(c for c in chunks() if c.type == "PLYR")
    blob = bytearray(BLOB)
    blob[chunk.offset + 14] ^= 1
    _, items = read(bytes(blob), partial=True)
    assert [f.number for f in frames(items)] == list(range(10))
    assert [f.layers for f in frames(items)] == [2, 1, *[2] * 8]


def test_a_missing_frame_is_found_without_damage() -> None:
    found = chunks()
    at = next(i for i, c in enumerate(found) if c.type == "PFRM")
    blob = BLOB[: found[at].offset] + BLOB[found[at + 2].offset :]
    with pytest.raises(FormatError, match="the one before it is missing"):
        read(blob)
    _, items = read(blob, partial=True)
    assert [f.number for f in frames(items)] == [0, 4, 5, 6, 7, 8, 9]


def test_another_first_frame_is_another_sequence() -> None:
    other = replace(CLIP, items=[frame(CLIP.header, 0, size=9), *CLIP.items[1:]]).build()
    mixed = BLOB[: chunks()[0].offset] + other[chunks()[0].offset :]
    with pytest.raises(FormatError, match="sequence id is wrong"):
        read(mixed)


def test_unknown_ancillary_chunks_are_given() -> None:
    reader, items = read(BLOB)
    assert PRIVATE in unplaced(items)
    assert unplaced(list(reader.ancillary)) == [TAGS]


def spliced(type_: bytes, minor: int) -> bytes:
    """A chunk in place of the unknown one."""
    chunk = next(c for c in chunks() if c.type == "prIv")
    body = type_ + chunk.data[4:-4]
    new = body + zlib.crc32(body).to_bytes(4, "little")
    at = chunk.offset
    return BLOB[:9] + bytes([minor]) + BLOB[10:at] + new + BLOB[at + len(new) :]


def test_versions() -> None:
    with pytest.raises(FormatError, match="needed and is not known"):
        read(spliced(b"PRIV", 1), partial=True)
    with pytest.raises(NewerVersionError, match=r"version 1\.2 is newer"):
        read(spliced(b"PRIV", 2))
    assert len(frames(read(spliced(b"prIv", 2))[1])) == 10
    with pytest.raises(FormatError, match=r"came with format version 1\.1"):
        read(spliced(b"prIv", 0))
    with pytest.raises(NewerVersionError):
        read(BLOB[:8] + b"\2\0" + BLOB[10:])


def test_a_picture_and_a_video_are_told_apart() -> None:
    from tests.container.samples import SCALABLE

    picture = SCALABLE.build()
    with pytest.raises(FormatError, match="a picture, not a clip"):
        Reader(io.BytesIO(picture))
    for read_picture in (container.parse, container.read_header, container.inspect):
        with pytest.raises(FormatError, match="a clip, not a picture"):
            read_picture(BLOB)
    assert container.video.is_sequence(BLOB)
    assert not container.video.is_sequence(picture)


class Endless(io.RawIOBase):
    """A stream that is made while it is read, in odd pieces, and cannot be sought in."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.left = pieces, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        while len(self.left) < 7 and (piece := next(self.pieces, None)) is not None:
            self.left += piece
        out, self.left = self.left[: min(size, 1000)], self.left[min(size, 1000) :]
        return out


class Pieces(io.RawIOBase):
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.pieces.append(bytes(data))
        return len(data)


def generated(count: int) -> Iterator[bytes]:
    wanted = header(gop=32)
    target = Pieces()
    writer = Writer(target, wanted, limits=Limits(index=4))
    for number in range(count):
        writer.write_frame(frame(wanted, number, size=400))
        writer.write_audio(packet(number))
        yield b"".join(target.pieces)
        target.pieces.clear()
    writer.close()
    yield b"".join(target.pieces)


def peak(count: int) -> int:
    tracemalloc.start()
    reader = Reader(Endless(generated(count)))
    total = sum(isinstance(item, Frame) for item in reader)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == count
    assert reader.complete
    assert reader.index is not None
    assert len(reader.index.entries) <= 4
    return most


def test_memory_does_not_grow_with_length() -> None:
    peak(10)  # what is made once
    # Cycles wait for the collector, so it goes up and down; frames of 800 would be 2 MB.
    assert peak(1000) < peak(200) + 200_000


def test_the_overhead_of_p_frames() -> None:
    few, many = (
        inspect(io.BytesIO(Clip(wanted, [frame(wanted, n, 100) for n in range(count)]).build()))
        for wanted in [header(gop=1000, audio=())]
        for count in (100, 600)
    )
    assert (many.overhead - few.overhead) / 500 < 40


def test_salvage_is_bounded() -> None:
    """Heads of chunks without end cost no more than some passes."""
    start = chunks()[0].offset
    evil = b"PFRM\x7f\xff\x7f" * 30_000
    reader, items = read(BLOB[:start] + evil + BLOB[start:], partial=True)
    assert items == [] or len(frames(items)) == 10
    assert reader.damage


def test_joining_checks_the_whole() -> None:
    target = io.BytesIO()
    join_streams([io.BytesIO(BLOB)], target)
    assert target.getvalue() == BLOB


def test_chunks_before_the_first_frame_are_counted() -> None:
    blob = replace(CLIP, ancillary=[Chunk("prIv", b"")] * 4).build()
    assert len(Reader(io.BytesIO(blob), limits=Limits(chunks=4)).ancillary) == 4
    with pytest.raises(FormatError, match="metadata: more than 3 chunks"):
        Reader(io.BytesIO(blob), limits=Limits(chunks=3))
