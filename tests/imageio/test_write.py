from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageCms

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio import Picture, from_array, read, write

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/">é</x:xmpmeta>'.encode()


def exif() -> bytes:
    tags = Image.Exif()
    tags[0x010F] = "camera"
    tags[0x0112] = 1
    tags[0x8769] = {0x829A: 0.02}
    return tags.tobytes().removeprefix(b"Exif\0\0")


def format_of(path: Path) -> str | None:
    return Image.open(io.BytesIO(path.read_bytes())).format


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.TIFF"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossless_formats_with_alpha_and_metadata(tmp_path: Path, name: str, channels: int) -> None:
    planes = RNG.integers(0, 256, (20, 30, channels), dtype=np.uint8)
    bare = from_array(planes)
    picture = Picture(bare.pixels, bare.alpha, ICC, exif(), XMP)
    write(picture, tmp_path / name)
    again = read(tmp_path / name)
    pixels = np.broadcast_to(bare.pixels, again.pixels.shape)  # WebP has no grey
    assert np.array_equal(again.pixels, pixels)
    assert np.array_equal(again.alpha, bare.alpha) if channels in (2, 4) else again.alpha is None
    assert (again.icc, again.xmp) == (ICC, XMP)
    assert again.exif is not None
    tags = Image.Exif()
    tags.load(again.exif)
    assert tags[0x010F] == "camera"
    assert float(tags.get_ifd(0x8769)[0x829A]) == pytest.approx(0.02)


def test_jpeg_is_good_and_keeps_all_colours(tmp_path: Path) -> None:
    write(Picture(PIXELS, None, ICC, exif(), XMP), tmp_path / "a.jpg")
    again = read(tmp_path / "a.jpg")
    assert (again.icc, again.exif, again.xmp) == (ICC, exif(), XMP)
    image = Image.open(io.BytesIO((tmp_path / "a.jpg").read_bytes()))
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
    assert np.abs(again.pixels.astype(int) - PIXELS).mean() < 4
    write(Picture(PIXELS), tmp_path / "b.jpg", quality=20)
    assert (tmp_path / "b.jpg").stat().st_size < (tmp_path / "a.jpg").stat().st_size / 2


def test_streams_stdout_and_format_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout, stream = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=stdout))
    write(Picture(PIXELS), "-")
    write(Picture(PIXELS), stream)
    assert stdout.getvalue() == stream.getvalue()
    write(Picture(PIXELS), tmp_path / "a.png", "tiff")
    assert format_of(tmp_path / "a.png") == "TIFF"
    write(Picture(PIXELS), tmp_path / "b", "JPG")
    assert format_of(tmp_path / "b") == "JPEG"


def test_existing_files_are_kept_unless_forced(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    with pytest.raises(UsageError, match="--force"):
        write(Picture(PIXELS), target)
    write(Picture(PIXELS), target, force=True)
    assert np.array_equal(read(target).pixels, PIXELS)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.bmp", "'.bmp' cannot be written; choose png"), ("a", "without an extension")],
)
def test_unknown_formats_are_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        write(Picture(PIXELS), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a.jpg: JPEG has no alpha"):
        write(Picture(PIXELS, PIXELS[:, :, 0]), tmp_path / "a.jpg")
    with pytest.raises(IcmhError, match="WEBP cannot hold it"):
        write(from_array(np.zeros((1, 16384, 3), np.uint8)), tmp_path / "a.webp")
    with pytest.raises(IcmhError, match="JPEG cannot hold it"):
        write(Picture(PIXELS, xmp=b"x" * 70000), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_unreadable_exif_is_left_out(tmp_path: Path, name: str) -> None:
    write(Picture(PIXELS, exif=b"rubbish"), tmp_path / name)
    assert read(tmp_path / name).exif in (None, b"")
