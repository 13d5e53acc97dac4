from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio import read

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def packed(format: str, pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def png(colour_type: int, rows: bytes, width: int, height: int, *chunks: tuple[bytes, bytes]):
    """A PNG of 16-bit samples, given its unfiltered rows."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))]
    parts += [*chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(payload)) + kind + payload
        + struct.pack(">I", zlib.crc32(kind + payload))
        for kind, payload in parts
    )  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + body


def rows(values: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)


@pytest.mark.parametrize(
    ("format", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}),
     ("TIFF", {"compression": "tiff_lzw"})],
)  # fmt: skip
def test_lossless_formats_from_paths_bytes_and_images(
    tmp_path: Path, format: str, options: dict[str, Any]
) -> None:
    data = packed(format, **options)
    path = tmp_path / "a.picture"
    path.write_bytes(data)
    for source in (data, path, str(path), Image.open(io.BytesIO(data))):
        picture = read(source)
        assert np.array_equal(picture.pixels, PIXELS)
        assert picture.alpha is None


@pytest.mark.parametrize("format", ["JPEG", "AVIF"])
def test_lossy_formats(format: str) -> None:
    data = packed(format, quality=90)
    assert np.array_equal(read(data).pixels, np.asarray(Image.open(io.BytesIO(data))))


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(packed("PNG"))))
    assert np.array_equal(read("-").pixels, PIXELS)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_orientation_and_metadata(format: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "camera"
    exif[0x0112] = 6
    exif[0x8769] = {0x829A: 0.02}  # exposure time
    options = {} if format == "TIFF" else {"xmp": XMP}
    picture = read(packed(format, exif=exif.tobytes(), icc_profile=ICC, **options))
    assert picture.pixels.shape == (30, 20, 3)
    assert picture.icc == ICC
    assert picture.exif is not None
    tags = Image.Exif()
    tags.load(picture.exif)
    assert tags[0x010F] == "camera"
    assert tags.get(0x0112, 1) == 1
    assert float(tags.get_ifd(0x8769)[0x829A]) == pytest.approx(0.02)
    assert 256 not in tags  # a TIFF's own way of storing pixels is no metadata
    if format in ("JPEG", "WEBP", "AVIF"):
        assert picture.xmp == XMP


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png(colour_type: int, channels: int) -> None:
    values = RNG.integers(0, 65536, (9, 11, channels), dtype=np.uint16)
    picture = read(png(colour_type, rows(values), 11, 9))
    got = picture.pixels
    if picture.alpha is not None:
        got = np.concatenate([got, picture.alpha[:, :, None]], 2)
    assert picture.depth == 16
    assert np.array_equal(got, values)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("loaded_by_us", [True, False])
def test_transparent_grey_of_few_bits(bits: int, loaded_by_us: bool) -> None:
    """A row of eight pixels of level 0, but the first, which is 1 and transparent."""
    first = 1 << 8 - bits
    row = bytes([0, first, *bytes(bits - 1)])
    data = bytearray(png(0, row, 8, 1, (b"tRNS", b"\0\1")))
    data[24] = bits
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    picture = read(bytes(data) if loaded_by_us else Image.open(io.BytesIO(data)))
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[0, *[255] * 7]]
    assert picture.pixels[0, 0, 0] == 255 // (2**bits - 1)


@pytest.mark.parametrize(("colour_type", "key"), [(0, (1000,)), (2, (1000, 2000, 3000))])
def test_sixteen_bit_png_with_a_transparent_colour(colour_type: int, key: tuple[int, ...]) -> None:
    values = np.full((4, 5, len(key)), 999, np.uint16)
    values[1, 2] = key
    chunk = (b"tRNS", struct.pack(f">{len(key)}H", *key))
    picture = read(png(colour_type, rows(values), 5, 4, chunk))
    assert picture.alpha is not None
    assert np.argwhere(picture.alpha == 0).tolist() == [[1, 2]]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_tiff(order: str, channels: int) -> None:
    values = RNG.integers(0, 65536, (6, 8, channels), dtype=np.uint16)
    tags = [
        (256, 8), (257, 6), (258, 16), (259, 1), (262, 2 if channels == 3 else 1),
        (273, 0), (277, channels), (278, 6), (279, values.size * 2),
    ]  # fmt: skip
    bits = struct.pack(order + "HHH", 16, 16, 16)
    at = 8 + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, value in tags:
        if tag == 258 and channels == 3:
            entries += struct.pack(order + "HHII", tag, 3, 3, at)
        else:
            value = at + len(bits) if tag == 273 else value
            entries += struct.pack(order + "HHII", tag, 4, 1, value)
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    data += entries + struct.pack(order + "I", 0) + bits + values.astype(order + "u2").tobytes()
    assert np.array_equal(read(data).pixels, values)


def test_alpha_is_split_off() -> None:
    pixels = RNG.integers(0, 256, (5, 6, 4), dtype=np.uint8)
    picture = read(packed("PNG", pixels))
    assert np.array_equal(picture.pixels, pixels[:, :, :3])
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, pixels[:, :, 3])


@pytest.mark.parametrize(
    ("format", "word"),
    [("PNG", "frames"), ("WEBP", "frames"), ("AVIF", "frames"), ("TIFF", "pages")],
)  # fmt: skip
def test_several_pictures_are_refused(format: str, word: str) -> None:
    data = packed(format, save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    with pytest.raises(IcmhError, match=f"the data: it has 2 {word}; extract"):
        read(data)


def test_of_a_jpeg_with_several_pictures_it_is_the_first() -> None:
    data = packed("MPO", save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert np.abs(read(data).pixels.astype(int) - PIXELS).mean() < 60


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_truncated_pictures_name_the_file(tmp_path: Path, format: str) -> None:
    path = tmp_path / "cut"
    data = packed(format)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(IcmhError, match=r"cut: it is ") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [("none", UsageError, "no such file"), (".", UsageError, "is a folder"),
     ("empty", IcmhError, "is empty"), ("text", IcmhError, "it is not a PNG"),
     ("gif", IcmhError, "a GIF is no picture here"), ("bad\0name", UsageError, "cannot be read")],
)  # fmt: skip
def test_what_is_no_picture(tmp_path: Path, name: str, error: type[IcmhError], text: str) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "gif").write_bytes(packed("GIF"))
    with pytest.raises(error, match=text) as caught:
        read(tmp_path / name)
    assert type(caught.value) is error
    assert str(tmp_path) in str(caught.value)


def test_a_decompression_bomb_is_refused() -> None:
    with pytest.raises(IcmhError, match=r"more than [\d,]+ pixels"):
        read(png(0, b"", 20000, 20000))


SEEDS = [packed(f, PIXELS[:8, :8]) for f in ("PNG", "JPEG", "WEBP", "TIFF")]


@given(st.sampled_from(SEEDS), st.data())
@settings(max_examples=120, deadline=None)
def test_any_damage_is_an_error_of_ours_or_a_picture(seed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(seed) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = read(bytes(damaged))
    except IcmhError:
        return
    assert picture.pixels.ndim == 3
