"""Hostile streams end in an error or in wrong symbols, never in an invalid access."""

from pathlib import Path

import numpy as np
import pytest

from icmhcodec.entropy import coder
from icmhcodec.errors import FormatError
from tests.attacks import asan_rans
from tests.attacks.streams import COUNT, hostile, tables


def test_hostile_streams_decode_to_bounded_symbols_or_are_refused() -> None:
    coded = tables()
    refused = 0
    for stream, indexes in hostile():
        try:
            symbols = coder.decode(stream, indexes, coded)
        except FormatError:
            refused += 1
        else:
            assert symbols.shape == indexes.shape
            assert np.abs(symbols).max() <= coder.LATENT_LIMIT
    assert COUNT // 4 < refused < COUNT


def test_padding_stays_under_16_megabytes() -> None:
    longest = 2**63 - 1
    stream = longest.to_bytes(8, "little") + b"\xff" * (6 * coder.SEGMENT)
    assert len(coder.padded(stream, coder.SEGMENT)) < 16e6


def test_the_coders_source_under_address_sanitizer(tmp_path: Path) -> None:
    try:
        driver = asan_rans.build(asan_rans.fetch(tmp_path), tmp_path)
    except asan_rans.UnavailableError as error:
        pytest.skip(str(error))
    runs = asan_rans.attack(driver)
    for name in ("guarded", "encoded"):
        assert runs[name].returncode == 0, runs[name].stderr
    assert int(runs["guarded"].stdout.split()[0]) > COUNT // 2
    for name in ("bare stream", "half the padding", "two symbols"):
        assert "heap-buffer-overflow" in runs[name].stderr, name
