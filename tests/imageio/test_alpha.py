from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from icmhcodec.errors import FormatError
from icmhcodec.imageio import alpha

SAMPLE = np.add.outer(np.arange(40), np.arange(30) * 3).astype(np.uint8)
CODED = alpha.encode(SAMPLE)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
@settings(max_examples=60, deadline=None)
def test_is_lossless(values: np.ndarray) -> None:
    height, width = values.shape
    decoded = alpha.decode(alpha.encode(values), width, height)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, values)


@pytest.mark.parametrize("shape", [(1, 16384), (20000, 2)])
def test_is_lossless_beyond_webps_sides(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    coded = alpha.encode(values)
    assert len(coded) <= 2 * values.size + 1024  # what formats/icm.md allows
    assert np.array_equal(alpha.decode(coded, shape[1], shape[0]), values)


def test_typical_masks_are_small() -> None:
    opaque = np.full((512, 768), 255, np.uint8)
    disc = np.hypot(*np.mgrid[-256:256, -384:384]) < 200
    assert len(alpha.encode(opaque)) < 80
    assert len(alpha.encode(disc.astype(np.uint8) * 255)) < 1500


@pytest.mark.parametrize("size", [(30, 41), (29, 40), (40, 30), (1, 1)])
def test_another_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(FormatError, match="alpha is not a picture of"):
        alpha.decode(CODED, *size)


def test_a_bomb_is_refused_by_its_header() -> None:
    bomb = bytearray(CODED)
    struct.pack_into("<I", bomb, 21, 0x0FFFFFFF)  # 16384x16384
    with pytest.raises(FormatError):
        alpha.decode(bytes(bomb), 30, 40)


@pytest.mark.parametrize(
    ("mode", "options"),
    [("RGBA", {"format": "WEBP", "lossless": True}), ("RGB", {"format": "WEBP"}),
     ("RGB", {"format": "TIFF"}), ("I;16", {"format": "PNG"}), ("P", {"format": "GIF"})],
)  # fmt: skip
def test_other_pictures_are_refused(mode: str, options: dict[str, object]) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (30, 40), 0).save(buffer, **options)
    with pytest.raises(FormatError):
        alpha.decode(buffer.getvalue(), 30, 40)


@given(st.binary(max_size=60), st.integers(0, len(CODED)), st.integers(0, len(CODED)))
@example(b"", 0, len(CODED))
@settings(max_examples=150, deadline=None)
def test_damage_is_a_format_error_or_another_mask(noise: bytes, start: int, stop: int) -> None:
    damaged = CODED[:start] + noise + CODED[stop:]
    try:
        decoded = alpha.decode(damaged, 30, 40)
    except FormatError:
        return
    assert decoded.shape == (40, 30)
