import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmhcodec.container import Chunk, Limits, metadata
from icmhcodec.errors import FormatError, UsageError


@given(st.sampled_from(sorted(metadata.METADATA)), st.binary(max_size=300))
def test_metadata_comes_back(type_: str, data: bytes) -> None:
    chunk = metadata.pack(type_, data)
    assert chunk.type == type_
    assert metadata.unpack(chunk) == data


def test_what_repeats_takes_less() -> None:
    assert len(metadata.pack("iCCp", bytes(3000)).payload) < 50


@given(st.binary(max_size=80))
def test_other_bytes_are_refused_or_unpacked(data: bytes) -> None:
    try:
        found = metadata.unpack(Chunk("eXIf", data))
    except FormatError:
        return
    assert zlib.decompress(data) == found


def test_bombs_cut_and_trailing_bytes_are_refused() -> None:
    limits = Limits(metadata=1000)
    good = zlib.compress(bytes(1000), 9)
    assert metadata.unpack(Chunk("xMPp", good), limits) == bytes(1000)
    for bad in (zlib.compress(bytes(2**24), 9), good[:-1], good + b"x", b""):
        with pytest.raises(FormatError, match="xMPp"):
            metadata.unpack(Chunk("xMPp", bad), limits)
    with pytest.raises(UsageError, match="strip"):
        metadata.pack("xMPp", bytes(1001), limits)
