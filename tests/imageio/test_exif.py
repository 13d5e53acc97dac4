from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from icmhcodec.imageio.exif import normalise, upright, upright_xmp


def block(order: str, orientation: int = 6, thumbnail: bytes = b"thumbnail") -> bytes:
    """Exif with a camera's name, an orientation and a second directory for a thumbnail."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    second = 8 + 2 + 2 * 12 + 4
    first = struct.pack(order + "H", 2)
    first += struct.pack(order + "HHI4s", 0x010F, 2, 4, b"cam\0")
    first += struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    first += struct.pack(order + "I", second)
    return magic + struct.pack(order + "I", 8) + first + struct.pack(order + "H", 0) + thumbnail


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_becomes_one_and_nothing_else_changes(order: str) -> None:
    exif = block(order)
    result = upright(exif, 1)
    tags = Image.Exif()
    tags.load(result)
    assert dict(tags) == {0x010F: "cam", 0x0112: 1}
    assert sum(a != b for a, b in zip(exif, result, strict=True)) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_of_a_turned_picture_is_unlinked(order: str) -> None:
    tags = Image.Exif()
    tags.load(upright(block(order), 6))
    assert tags[0x0112] == 1
    assert not tags.get_ifd(1)


def swapping(order: str) -> bytes:
    """Exif with a resolution of 7x9 in its first directory and a size of 4x3 in its second."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    second = 8 + 2 + 4 * 12 + 4
    first = struct.pack(order + "IH", 8, 4)
    for tag, kind, value in ((0x0112, 4, 6), (282, 4, 7), (283, 4, 9), (0x8769, 4, second)):
        first += struct.pack(order + "HHII", tag, kind, 1, value)
    first += struct.pack(order + "I", 0)
    sizes = struct.pack(order + "HHHII", 2, 0xA002, 4, 1, 4) + struct.pack(
        order + "HHIHH", 0xA003, 3, 1, 3, 0
    )
    return magic + first + sizes + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_widths_and_heights_turn_with_the_picture(order: str, orientation: int) -> None:
    tags = Image.Exif()
    tags.load(upright(swapping(order), orientation))
    resolution, size = (tags[282], tags[283]), tags.get_ifd(0x8769)
    turned = orientation >= 5
    assert resolution == ((9, 7) if turned else (7, 9))
    assert (size[0xA002], size[0xA003]) == ((3, 4) if turned else (4, 3))


def test_a_long_orientation_is_rewritten_as_the_standard_has_it() -> None:
    exif = b"II*\0" + struct.pack("<IHHHII I", 8, 1, 0x0112, 4, 1, 8, 0)
    tags = Image.Exif()
    tags.load(upright(exif, 8))
    assert tags[0x0112] == 1


def test_normalise_strips_jpegs_prefix_and_drops_the_unreadable() -> None:
    exif = block("<")
    assert normalise(b"Exif\0\0" + exif) == exif
    for broken in (b"", b"Exif\0\0", b"hello", exif[:12], b"II*\0\xff\xff\xff\xff", None, "text"):
        assert normalise(broken) is None


@given(st.binary(max_size=80), st.integers(-1, 9), st.sampled_from([b"", b"II*\0", b"MM\0*"]))
def test_any_bytes_keep_their_length(data: bytes, turn: int, magic: bytes) -> None:
    normalise(magic + data)
    assert len(upright(magic + data, turn)) == len(magic + data)


@pytest.mark.parametrize(
    "text", [b'<a tiff:Orientation="6"/>', b"<tiff:Orientation>6</tiff:Orientation>"]
)
def test_xmps_orientation(text: bytes) -> None:
    assert upright_xmp(text, 6) == text.replace(b"6", b"1")
    assert upright_xmp(b"<a>6</a>", 6) == b"<a>6</a>"


def test_xmps_sizes_turn_too() -> None:
    text = b'<a tiff:ImageWidth="4" tiff:ImageLength="3" exif:PixelXDimension="4"/>'
    turned = b'<a tiff:ImageLength="4" tiff:ImageWidth="3" exif:PixelYDimension="4"/>'
    assert upright_xmp(text, 5) == turned
    assert upright_xmp(text, 4) == text
