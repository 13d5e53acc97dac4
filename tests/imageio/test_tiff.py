from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from icmhcodec.imageio import from_array, read, tiff


def levels(type_: type, *shape: int) -> np.ndarray:
    peak = np.iinfo(type_).max
    return np.random.default_rng(0).integers(0, peak, shape, type_, endpoint=True)


@pytest.mark.parametrize("shape", [(20, 31), (1, 1), (700, 300)])  # of one strip and of several
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pillow_finds_eight_bits(channels: int, shape: tuple[int, int]) -> None:
    given = levels(np.uint8, *shape, channels)
    image = Image.open(io.BytesIO(tiff.encode(from_array(given))))
    assert np.array_equal(np.asarray(image).reshape(given.shape), given)


@pytest.mark.parametrize(("channels", "format"), [(1, "gray16le"), (3, "rgb48le"), (4, "rgba64le")])
@pytest.mark.parametrize("shape", [(20, 31), (700, 300)])
def test_ffmpeg_finds_sixteen_bits(channels: int, format: str, shape: tuple[int, int]) -> None:
    given = levels(np.uint16, *shape, channels)
    with av.open(io.BytesIO(tiff.encode(from_array(given))), format="tiff_pipe") as file:
        found = next(file.decode(video=0)).to_ndarray(format=format)
    assert np.array_equal(found.reshape(given.shape), given)


@pytest.mark.parametrize("type_", [np.uint8, np.uint16])
def test_exif_stands_byte_for_byte_where_it_was(type_: type) -> None:
    sample = read(Path(__file__).parent / "samples" / "turbo.jpg")
    assert sample.exif is not None
    assert sample.exif.startswith(b"MM")
    given = levels(type_, 20, 31, 3)
    data = tiff.encode(replace(sample, pixels=given))
    assert data[:4] + data[8 : len(sample.exif)] == sample.exif[:4] + sample.exif[8:]
    assert np.array_equal(read(data).pixels, given)


def test_a_tag_of_another_type_than_its_own_costs_nothing() -> None:
    entries = struct.pack("<HHI4s", 0x010F, 2, 4, b"cam\0")
    entries += struct.pack("<HHI4s", 282, 2, 4, b"abc\0")  # a resolution is a ratio
    exif = b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    picture = replace(from_array(levels(np.uint8, 4, 5, 3)), exif=exif)
    again = read(tiff.encode(picture))
    assert np.array_equal(again.pixels, picture.pixels)
