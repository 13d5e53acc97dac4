from __future__ import annotations

import io
import struct
import zlib

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


@pytest.mark.parametrize("type_", [np.uint8, np.uint16])
@given(data=st.data(), shape=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@settings(max_examples=60, deadline=None)
def test_is_lossless(type_: type, data: st.DataObject, shape: tuple[int, int]) -> None:
    values = data.draw(hnp.arrays(type_, shape))
    decoded = alpha.decode(alpha.encode(values), shape[1], shape[0], values.itemsize * 8)
    assert decoded.dtype == type_
    assert np.array_equal(decoded, values)


@pytest.mark.parametrize("type_", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 16384), (20000, 2), (70, 90)])
def test_noise_is_lossless_and_within_the_limit(shape: tuple[int, int], type_: type) -> None:
    peak = np.iinfo(type_).max
    values = np.random.default_rng(1).integers(0, peak, shape, dtype=type_, endpoint=True)
    depth = values.itemsize * 8
    coded = alpha.encode(values)
    assert len(coded) <= depth // 4 * values.size + 1024  # what formats/icm.md allows
    assert np.array_equal(alpha.decode(coded, shape[1], shape[0], depth), values)


def test_typical_masks_are_small() -> None:
    opaque = np.full((512, 768), 255, np.uint8)
    disc = np.hypot(*np.mgrid[-256:256, -384:384]) < 200
    assert len(alpha.encode(opaque)) < 80
    assert len(alpha.encode(disc.astype(np.uint8) * 255)) < 1500


def test_sixteen_bits_cost_what_they_hold() -> None:
    y, x = np.mgrid[-256:256, -384:384]
    ramp = np.round((x + 384) * (65535 / 767)).astype(np.uint16)
    eight = (np.clip(220.5 - np.hypot(y, x), 0, 40) * (255 / 40)).astype(np.uint8)
    assert len(alpha.encode(np.full((512, 768), 65535, np.uint16))) < 80
    assert len(alpha.encode(ramp)) < 200
    promoted = eight.astype(np.uint16) * 257
    assert len(alpha.encode(promoted)) < 1.1 * len(alpha.encode(eight))


@pytest.mark.parametrize("given", [8, 16])
def test_another_depth_is_refused_or_other_levels(given: int) -> None:
    values = SAMPLE.astype({8: np.uint8, 16: np.uint16}[given])
    try:
        other = alpha.decode(alpha.encode(values), 30, 40, 24 - given)
    except FormatError:
        return
    assert (other.shape, other.itemsize * 8) == ((40, 30), 24 - given)


def test_an_unknown_kind_of_sixteen_bits_is_refused() -> None:
    buffer = io.BytesIO()
    colours = np.stack([SAMPLE, SAMPLE, SAMPLE + 2], axis=2)
    Image.fromarray(colours).save(buffer, "WEBP", lossless=True)
    with pytest.raises(FormatError, match="unknown kind"):
        alpha.decode(buffer.getvalue(), 30, 40, 16)


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


def png(width: int, height: int, depth: int, colour_type: int, *more: tuple[int, int]) -> bytes:
    """A black PNG, whose header may be followed by others of other sizes."""
    sizes = [(width, height), *more]
    row = bytes(-(-sizes[-1][0] * depth * (3 if colour_type == 2 else 1) // 8) + 1)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)) for size in sizes
    ]
    chunks += [(b"PLTE", bytes(6))] if colour_type == 3 else []
    chunks += [(b"IDAT", zlib.compress(row * sizes[-1][1])), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def test_a_second_header_is_refused_before_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert alpha.decode(png(16384, 2, 8, 0), 16384, 2).shape == (2, 16384)
    monkeypatch.setattr(np, "array", None)
    with pytest.raises(FormatError, match="not grey of 8 bits"):
        alpha.decode(png(16384, 2, 8, 0, (16384, 300)), 16384, 2)


@pytest.mark.parametrize(
    ("bits", "colour_type"),
    [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (8, 3)],
)
@pytest.mark.parametrize("depth", [8, 16])
def test_large_alpha_is_a_grey_png_of_its_depth(depth: int, bits: int, colour_type: int) -> None:
    data = png(16384, 2, bits, colour_type)
    if (bits, colour_type) == (depth, 0):
        assert not alpha.decode(data, 16384, 2, depth).any()
        return
    with pytest.raises(FormatError, match=f"not grey of {depth} bits"):
        alpha.decode(data, 16384, 2, depth)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_small_png_is_refused(depth: int) -> None:
    with pytest.raises(FormatError, match="not a picture of"):
        alpha.decode(png(30, 40, depth, 0), 30, 40, depth)


def test_a_webp_is_one_chunk() -> None:
    more = b"EXIF\2\0\0\0ab"
    for data in (
        CODED + b"ab",
        CODED[:4] + struct.pack("<I", len(CODED) + len(more) - 8) + CODED[8:] + more,
        CODED[:4] + struct.pack("<I", len(CODED) - 9) + CODED[8:],
    ):
        with pytest.raises(FormatError, match="not a picture of"):
            alpha.decode(data, 30, 40)


@given(
    st.binary(max_size=60),
    st.integers(0, len(CODED)),
    st.integers(0, len(CODED)),
    st.sampled_from([8, 16]),
)
@example(b"", 0, len(CODED), 8)
@settings(max_examples=150, deadline=None)
def test_damage_is_a_format_error_or_another_mask(
    noise: bytes, start: int, stop: int, depth: int
) -> None:
    damaged = CODED[:start] + noise + CODED[stop:]
    try:
        decoded = alpha.decode(damaged, 30, 40, depth)
    except FormatError:
        return
    assert decoded.shape == (40, 30)
