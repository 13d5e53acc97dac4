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
    result = upright(exif, turned=False)
    tags = Image.Exif()
    tags.load(result)
    assert dict(tags) == {0x010F: "cam", 0x0112: 1}
    assert sum(a != b for a, b in zip(exif, result, strict=True)) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_of_a_turned_picture_is_unlinked(order: str) -> None:
    tags = Image.Exif()
    tags.load(upright(block(order), turned=True))
    assert tags[0x0112] == 1
    assert not tags.get_ifd(1)


def test_a_long_orientation_is_rewritten_as_the_standard_has_it() -> None:
    exif = b"II*\0" + struct.pack("<IHHHII I", 8, 1, 0x0112, 4, 1, 8, 0)
    tags = Image.Exif()
    tags.load(upright(exif, turned=True))
    assert tags[0x0112] == 1


def test_normalise_strips_jpegs_prefix_and_drops_the_unreadable() -> None:
    exif = block("<")
    assert normalise(b"Exif\0\0" + exif) == exif
    for broken in (b"", b"Exif\0\0", b"hello", exif[:12], b"II*\0\xff\xff\xff\xff", None, "text"):
        assert normalise(broken) is None


@given(st.binary(max_size=80), st.booleans(), st.sampled_from([b"", b"II*\0", b"MM\0*"]))
def test_any_bytes_keep_their_length(data: bytes, turned: bool, magic: bytes) -> None:
    normalise(magic + data)
    assert len(upright(magic + data, turned=turned)) == len(magic + data)


@pytest.mark.parametrize(
    "text", [b'<a tiff:Orientation="6"/>', b"<tiff:Orientation>6</tiff:Orientation>"]
)
def test_xmps_orientation(text: bytes) -> None:
    assert upright_xmp(text) == text.replace(b"6", b"1")
    assert upright_xmp(b"<a>6</a>") == b"<a>6</a>"
