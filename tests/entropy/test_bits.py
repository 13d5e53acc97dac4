from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmhcodec.entropy import coder
from icmhcodec.entropy.bits import symbol_bits
from icmhcodec.entropy.coder import Tables
from icmhcodec.entropy.tables import gaussian_tables

GAUSSIAN = gaussian_tables()
# 0 has half of the mass, 1 a quarter, 2 an eighth, and so has what lies outside.
HALVES = Tables(np.array([[0, 32768, 49152, 57344, 65536]]), np.array([5]), np.array([0]))


@pytest.mark.parametrize(
    ("symbol", "bits"),
    [(0, 1), (1, 2), (2, 3), (3, 3 + 4), (-1, 3 + 8), (4, 3 + 8), (10, 3 + 8), (11, 3 + 12)],
)
def test_a_symbol_costs_its_share_or_the_escape_and_its_digits(symbol, bits):
    assert symbol_bits(np.array([symbol]), np.array([0]), HALVES).tolist() == [bits]


def test_no_symbols_cost_nothing():
    empty = np.zeros(0, np.int32)
    assert symbol_bits(empty, empty, HALVES).shape == (0,)


@given(st.integers(0, 2**32 - 1), st.integers(3, 3000), st.sampled_from([1, 30, 3000]))
def test_the_sum_is_the_length_of_the_stream_but_for_its_end(seed, count, spread):
    random = np.random.default_rng(seed)
    indexes = random.integers(0, len(GAUSSIAN), count)
    symbols = np.rint(random.normal(0, spread, count)).astype(np.int32)
    stream = coder.encode(symbols, indexes, GAUSSIAN)
    extra = 8 * len(stream) - symbol_bits(symbols, indexes, GAUSSIAN).sum()
    assert -1 < extra <= 64 + count / 1000
