import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec.container.structure import Number, pack, unpack
from icmhcodec.errors import FormatError
from tests.container.samples import varint


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_number_is_the_shortest_leb128(value: int) -> None:
    wire = pack(Number, value, "n")
    assert wire == varint(value)
    assert unpack(Number, wire, "n") == value


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\x80\x00", "shortest"),
        (b"\xff\x80\x00", "shortest"),
        (b"\x80\x80\x80\x80\x10", "2\\^32"),
        (b"\xff" * 20 + b"\x01", "2\\^32"),
        (b"\x80", "too early"),
        (b"", "too early"),
    ],
)
def test_other_numbers_are_refused(wire: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        unpack(Number, wire, "n")


@pytest.mark.parametrize("value", [-1, 2**32])
def test_numbers_out_of_range_are_not_written(value: int) -> None:
    with pytest.raises(FormatError, match="2\\^32"):
        pack(Number, value, "n")


@given(st.binary(max_size=12))
@settings(deadline=None)
def test_any_bytes_are_a_number_or_an_error(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert data.startswith(varint(unpack(Number, data, "n")))
