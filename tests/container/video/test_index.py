import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmhcodec.container import DEFAULT_LIMITS, Limits
from icmhcodec.container.video import Entry, Index
from icmhcodec.container.video.chunks import StreamChunk, chunk_bytes
from icmhcodec.container.video.index import Entries, pack_index, unpack_index
from icmhcodec.errors import FormatError

INDEX = Index(b"digested", 100, -5, (Entry(0, -9, 100), Entry(10, 2**40, 2**50)))


def chunk(payload: bytes) -> StreamChunk:
    data = chunk_bytes("INDX", 5, payload)
    return StreamChunk("INDX", 5, 0, data, len(data) - len(payload) - 4)


def packed(index: Index) -> StreamChunk:
    return chunk(pack_index(index, len(chunk_bytes("INDX", 5, pack_index(index, 0)))))


def test_round_trip() -> None:
    whole = packed(INDEX)
    assert unpack_index(whole, DEFAULT_LIMITS) == INDEX
    payload = bytes(whole.payload)
    assert payload[-4:] == bytes([len(whole.data), 0, 0, 0])
    for length in range(len(payload)):
        with pytest.raises(FormatError):
            unpack_index(chunk(payload[:length]), DEFAULT_LIMITS)
    with pytest.raises(FormatError, match="77 bytes, but its chunk has"):
        unpack_index(chunk(pack_index(INDEX, 77)), DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "entries",
    [
        (),
        (Entry(1, 0, 0),),
        (Entry(0, 0, 0), Entry(0, 1, 1)),
        (Entry(0, 0, 5), Entry(1, 1, 5)),
        (Entry(0, 0, 0), Entry(100, 1, 1)),
    ],
)
def test_entries_that_are_refused(entries: tuple[Entry, ...]) -> None:
    with pytest.raises(FormatError, match="entries"):
        unpack_index(packed(Index(b"digested", 100, 0, entries)), DEFAULT_LIMITS)


def test_the_limit_of_entries() -> None:
    with pytest.raises(FormatError):
        unpack_index(packed(INDEX), Limits(index=1))


@given(st.integers(1, 500), st.integers(1, 20))
def test_entries_are_thinned(count: int, most: int) -> None:
    entries = Entries(most)
    for number in range(count):
        entries.add(Entry(number, number, number))
    every = next(2**k for k in range(20) if -(-count // 2**k) <= most)
    assert [entry.frame for entry in entries.kept] == list(range(0, count, every))


def test_the_entry_before_a_frame() -> None:
    assert INDEX.before(9) == INDEX.entries[0]
    assert INDEX.before(10) == INDEX.before(99) == INDEX.entries[1]
