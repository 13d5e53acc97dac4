"""The guarded range coder."""

import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec.entropy import coder
from icmhcodec.entropy.coder import HYPER_LIMIT, LATENT_LIMIT, SEGMENT, Tables, decode, encode
from icmhcodec.errors import FormatError, UsageError

ROWS = ([0, 30000, 60000, 65500, 65536], [0, 1, 65536], [0, 65535, 65536], [*range(513), 65536])
OFFSETS = (-1, 0, 0, -256)


def made(rows: tuple[list[int], ...] = ROWS, offsets: tuple[int, ...] = OFFSETS) -> Tables:
    cdfs = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for cdf, row in zip(cdfs, rows, strict=True):
        cdf[: len(row)] = row
    return Tables(cdfs, np.array([len(row) for row in rows]), np.array(offsets))


TABLES = made()


def check_round_trip(symbols: np.ndarray, indexes: np.ndarray) -> bytes:
    stream = encode(symbols, indexes, TABLES)
    assert np.array_equal(decode(stream, indexes, TABLES), symbols)
    return stream


def test_the_extension_loads_without_its_package() -> None:
    code = (
        "import sys; from icmhcodec.entropy import coder; coder._extension();"
        "assert 'compressai' not in sys.modules; assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(-3, 3), st.integers(-LATENT_LIMIT, LATENT_LIMIT)),
            st.integers(0, len(ROWS) - 1),
        ),
        max_size=40,
    )
)
def test_any_symbols_come_back(pairs: list[tuple[int, int]]) -> None:
    symbols, indexes = np.array(pairs, np.int32).reshape(-1, 2).T
    stream = check_round_trip(symbols, indexes)
    assert len(stream) <= 6 * max(3, len(pairs)) + 8


@pytest.mark.parametrize("count", range(6))
@pytest.mark.parametrize("index", range(len(ROWS)))
@pytest.mark.parametrize("value", [0, 1, -200, 200, LATENT_LIMIT, -LATENT_LIMIT])
def test_few_symbols_of_frequency_one_or_far_escapes(count: int, index: int, value: int) -> None:
    check_round_trip(np.full(count, value), np.full(count, index))


@pytest.mark.parametrize("distance", [4**k + d for k in range(8) for d in (-1, 0)] + [LATENT_LIMIT])
def test_bypass_digits_on_both_sides_of_a_table(distance: int) -> None:
    check_round_trip(np.array([distance, -distance, 0]), np.array([0, 0, 0]))


def test_a_whole_segment_of_escapes() -> None:
    rng = np.random.default_rng(1)
    symbols = rng.choice([-LATENT_LIMIT, LATENT_LIMIT], SEGMENT)
    check_round_trip(symbols, np.full(SEGMENT, 2))


@pytest.mark.parametrize("count", [0, 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT + 7])
def test_segments(count: int) -> None:
    rng = np.random.default_rng(count)
    symbols, indexes = rng.integers(-2, 4, count), rng.integers(0, 4, count).astype(np.uint8)
    parts = coder.encode_segments(symbols, indexes, TABLES)
    assert len(parts) == -(-count // SEGMENT)
    assert np.array_equal(coder.decode_segments(parts, indexes, TABLES), symbols)
    with pytest.raises(FormatError, match="segments"):
        coder.decode_segments((*parts, b""), indexes, TABLES)


@pytest.mark.parametrize("symbol", [LATENT_LIMIT + 1, -LATENT_LIMIT - 1, 2**27, 2**31 - 1, 2**40])
def test_symbols_out_of_range_are_refused(symbol: int) -> None:
    with pytest.raises(UsageError, match="outside"):
        encode(np.array([0, symbol, 0]), np.zeros(3, int), TABLES)


def test_a_decoded_symbol_out_of_range_is_refused() -> None:
    symbols = np.array([0, HYPER_LIMIT + 1, 0])
    stream = encode(symbols, np.zeros(3, int), TABLES)
    with pytest.raises(FormatError, match="outside"):
        decode(stream, np.zeros(3, int), TABLES, HYPER_LIMIT)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_floats_are_refused(value: float) -> None:
    with pytest.raises(UsageError):
        encode(np.array([value]), np.array([0]), TABLES)
    with pytest.raises(UsageError):
        encode(np.array([0]), np.array([value]), TABLES)


@pytest.mark.parametrize("index", [-1, 4, 255, 2**31])
def test_indexes_out_of_range_are_refused(index: int) -> None:
    stream = encode(np.zeros(3, int), np.zeros(3, int), TABLES)
    for indexes in (np.array([0, 0, index]), np.array([index, 0, 0])):
        with pytest.raises(UsageError, match="index"):
            encode(np.zeros(3, int), indexes, TABLES)
        with pytest.raises(UsageError, match="index"):
            decode(stream, indexes, TABLES)


def test_shapes_and_limits_are_checked() -> None:
    with pytest.raises(UsageError):
        encode(np.zeros(2, int), np.zeros(3, int), TABLES)
    with pytest.raises(UsageError):
        encode(np.zeros((2, 2), int), np.zeros((2, 2), int), TABLES)
    with pytest.raises(UsageError):
        coder.encode_segments(np.zeros(2, int), np.zeros(3, int), TABLES)
    with pytest.raises(UsageError, match="limit"):
        encode(np.zeros(3, int), np.zeros(3, int), TABLES, 2**27)
    with pytest.raises(UsageError, match="segment"):
        encode(np.zeros(SEGMENT + 1, int), np.zeros(SEGMENT + 1, int), TABLES)
    with pytest.raises(UsageError, match="segment"):
        decode(bytes(8), np.zeros(SEGMENT + 1, int), TABLES)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        bytes(4),
        (2**40).to_bytes(8, "little") + b"\0",  # not whole words
        (2**40).to_bytes(8, "little") + bytes(20),  # more than 6 bytes a symbol and 8
        (2**31 - 1).to_bytes(8, "little"),
        (2**63).to_bytes(8, "little"),
        b"\xff" * 8,
        bytes(8),
    ],
)
def test_streams_that_no_encoder_writes_are_refused(stream: bytes) -> None:
    with pytest.raises(FormatError, match="segment"):
        decode(stream, np.zeros(3, int), TABLES)


def test_bytes_for_no_symbols_are_refused() -> None:
    with pytest.raises(FormatError):
        decode(bytes(8), np.zeros(0, int), TABLES)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_any_bytes_decode_to_bounded_symbols_or_are_refused(body: bytes, rows: list[int]) -> None:
    stream = (2**62 + len(body)).to_bytes(8, "little") + body
    try:
        symbols = decode(stream, np.array(rows), TABLES)
    except FormatError:
        return
    assert symbols.shape == (len(rows),)
    assert np.abs(symbols).max() <= LATENT_LIMIT


def test_damage_changes_the_crc() -> None:
    symbols = np.random.default_rng(2).integers(-2, 3, 1000)
    stream = bytearray(encode(symbols, np.zeros(1000, int), TABLES))
    stream[40] ^= 4
    try:
        wrong = decode(bytes(stream), np.zeros(1000, int), TABLES)
    except FormatError:
        return
    assert coder.symbols_crc(wrong) != coder.symbols_crc(symbols)


def test_crcs_are_of_little_endian_bytes() -> None:
    symbols = np.array([1, -2, 300], np.int64)
    assert coder.symbols_crc(symbols) == zlib.crc32(b"\1\0\0\0\xfe\xff\xff\xff\x2c\1\0\0")
    assert coder.hyper_crc(symbols) == zlib.crc32(b"\1\0\xfe\xff\x2c\1")


@pytest.mark.parametrize(
    ("rows", "offsets"),
    [
        (([0, 65536],), (0,)),  # nothing but the escape: its frequency overflows
        (([0, 65536, 65536],), (0,)),
        (([0, 5, 5, 65536],), (0,)),
        (([0, 9, 5, 65536],), (0,)),
        (([1, 9, 65536],), (0,)),
        (([0, 9, 65535],), (0,)),
        (([0, 9, 70000, 65536],), (0,)),
        (([0, -(2**31), 2**31 - 1, 65536],), (0,)),
        (([*range(514), 65536],), (0,)),  # 513 values
        (([0, 9, 65536],), (2**20,)),
        (([0, 9, 65536],), (0, 0)),
    ],
)
def test_unsafe_tables_are_refused(rows: tuple[list[int], ...], offsets: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="table"):
        made(rows, offsets)


@pytest.mark.parametrize("length", [0, 2, 6, -1])
def test_lengths_beyond_a_table_are_refused(length: int) -> None:
    with pytest.raises(FormatError):
        Tables(np.array([ROWS[0]]), np.array([length]), np.array([0]))


def test_tables_pass_through_tensors() -> None:
    tensors = TABLES.to_tensors("y.")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.int32}
    again = Tables.from_tensors(tensors, "y.")
    assert again.lists == TABLES.lists
    assert len(again) == len(ROWS)
    with pytest.raises(FormatError, match=r"z\.cdfs"):
        Tables.from_tensors(tensors, "z.")
