import io
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec.container.video import (
    Reader,
    inspect,
    join_streams,
    rest_stream,
    split_stream,
)
from icmhcodec.errors import FormatError, UsageError
from tests.container.video.samples import Clip, clip, frame, sequences
from tests.container.video.test_read import Endless, Pieces, chunks, generated

BLOB = clip(tasks=2).build()


def cut(blob: bytes, tasks: Sequence[str]) -> tuple[bytes, bytes]:
    part, rest = io.BytesIO(), io.BytesIO()
    split_stream(io.BytesIO(blob), tasks, part, rest)
    return part.getvalue(), rest.getvalue()


def joined(*parts: bytes) -> bytes:
    target = io.BytesIO()
    join_streams([io.BytesIO(part) for part in parts], target)
    return target.getvalue()


@given(sequences(), st.data())
@settings(max_examples=40, deadline=None)
def test_split_and_rest_join_to_the_file(made: Clip, data: st.DataObject) -> None:
    blob = made.build()
    tasks = [layer.task for layer in made.header.layers]
    chosen = data.draw(st.lists(st.sampled_from(tasks), unique=True))
    part, rest = cut(blob, chosen)
    assert joined(part, rest) == joined(rest, part) == joined(blob, part, rest) == blob
    alone = io.BytesIO()
    rest_stream(io.BytesIO(blob), chosen, alone)
    assert alone.getvalue() == rest
    assert len(part) + len(rest) == len(blob) + len(cut(blob, [])[0])


def test_a_task_part_has_neither_sound_nor_metadata() -> None:
    part, rest = cut(BLOB, ["det"])
    assert {chunk.type for chunk in chunks(part)} == {"IFRM", "PFRM"}
    reader = Reader(io.BytesIO(part))
    assert [item.layers for item in reader] == [1] * 10
    assert not reader.ancillary
    assert {c.type for c in chunks(rest)} == {
        "iCCp", "ILYR", "PLYR", "aUDi", "prIv", "INDX",
    }  # fmt: skip


def test_later_tasks_take_what_they_build_on() -> None:
    part, _ = cut(BLOB, ["task1"])
    assert [item.layers for item in Reader(io.BytesIO(part))] == [2] * 10
    first, second = cut(part, ["det"])
    assert first == cut(BLOB, ["det"])[0]
    assert joined(first, second) == part
    assert joined(second, cut(BLOB, ["task1"])[1], first) == BLOB


def test_what_a_part_lacks() -> None:
    part, rest = cut(BLOB, ["det"])
    found = inspect(io.BytesIO(part))
    assert found.missing == ("layer 1 task1", "layer 2 human", "the index")
    assert inspect(io.BytesIO(rest)).missing == ("layer 0 det",)
    assert not found.complete
    with pytest.raises(FormatError, match="layer 1 without what is before it"):
        list(Reader(io.BytesIO(rest)))


def test_tasks_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="no layer 'seg'; it has det, task1, human"):
        cut(BLOB, ["seg"])
    part, rest = cut(BLOB, ["det"])
    with pytest.raises(UsageError, match="lacks layer 1 task1"):
        cut(part, ["human"])
    with pytest.raises(UsageError, match="lacks layer 0 det"):
        cut(rest, ["task1"])


def test_parts_of_different_sequences() -> None:
    made = clip(tasks=2)
    other = replace(made, items=[frame(made.header, 0, size=9), *made.items[1:]]).build()
    with pytest.raises(FormatError, match="part 2 is of another file"):
        joined(cut(BLOB, ["det"])[0], cut(other, ["det"])[1])
    with pytest.raises(UsageError, match="no parts"):
        joined()


def test_parts_of_sequences_that_begin_alike() -> None:
    made = clip(tasks=2)
    items = [frame(made.header, 1, time=1, crcs=(7, 8, 9)) if i == 2 else item
             for i, item in enumerate(made.items)]  # fmt: skip
    other = replace(made, items=items).build()
    with pytest.raises(FormatError, match="not all of one file"):
        joined(cut(BLOB, ["det"])[0], cut(other, ["det"])[1])
    with pytest.raises(FormatError, match="differ in the chunk at place"):
        joined(BLOB, other)


def test_damaged_parts_are_refused() -> None:
    broken = BLOB[:-1] + bytes([BLOB[-1] ^ 1])
    with pytest.raises(FormatError, match="CRC"):
        cut(broken, ["det"])
    with pytest.raises(FormatError, match="CRC"):
        joined(broken)


def test_cut_streams_are_split_as_far_as_they_go() -> None:
    for chunk in chunks(BLOB):
        part, rest = cut(BLOB[: chunk.offset], ["det"])
        assert joined(part, rest) == BLOB[: chunk.offset]


class Tee(Pieces):
    """Forgets what is written to it, but for a checksum."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.size += len(data)
        return len(data)


def test_memory_does_not_grow_with_length() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        split_stream(Endless(generated(count)), ["det"], Tee(), Tee())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    # Cycles wait for the collector, so it goes up and down; frames of 600 would be 1.5 MB.
    assert peak(800) < peak(200) + 200_000


def test_joining_streams_piece_by_piece() -> None:
    def pieces(blob: bytes) -> Iterator[bytes]:
        return (blob[at : at + 5] for at in range(0, len(blob), 5))

    target = io.BytesIO()
    join_streams([Endless(pieces(part)) for part in cut(BLOB, ["det"])], target)
    assert target.getvalue() == BLOB
