"""Pictures that other programs wrote; samples/README.md says how."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from icmhcodec.errors import IcmhError
from icmhcodec.imageio import Picture, read, to_eight_bits
from icmhcodec.imageio.picture import planes_of
from icmhcodec.imageio.write import encode
from icmhcodec.pipeline.codec import Codec

SAMPLES = Path(__file__).parent / "samples"
SOURCE = np.asarray(Image.open(SAMPLES / "source.png")).astype(float)
REFUSED = {
    "animated.webp": "2 frames; extract",
    "pages.tif": "2 pages; extract",
    "float.tif": "convert it to grey or RGB",
    "float-grey.tif": "32-bit samples",
    "greya16.tif": "convert it to grey or RGB",
    "rgb16-planes.tif": "convert it to grey or RGB",
}
# How far levels are from the source's in the mean, where that is more than JPEG does.
LOSS = {"palette.png": 5, "palette.tif": 5, "palette-alpha.png": 5, "bits.png": 80, "bits.tif": 80}
READ = sorted(
    path.name for path in SAMPLES.iterdir() if path.name not in REFUSED and path.suffix != ".md"
)
TURNED = [name for name in READ if name.startswith("turned-")]


def sample(name: str) -> Picture:
    return read(SAMPLES / name)


def by_ffmpeg(name: str, format: str) -> np.ndarray:
    """The samples of a picture by another reader."""
    with av.open(SAMPLES / name) as file:
        return next(file.decode(video=0)).to_ndarray(format=format)


@pytest.mark.parametrize("name", READ)
def test_each_shows_the_source(name: str) -> None:
    picture = to_eight_bits(sample(name))
    pixels = picture.pixels.astype(float)
    blurred = "16" in name or "12" in name
    source = to_eight_bits(sample("rgb16.png")).pixels.astype(float) if blurred else SOURCE
    if name == "rgb16-lzw-turned.tif":
        source = np.rot90(source, -1)
    if pixels.shape[2] == 1:
        source = source @ np.array([[0.2126], [0.7152], [0.0722]])
    visible = slice(None) if picture.alpha is None else picture.alpha > 0
    assert np.abs(pixels - source)[visible].mean() < LOSS.get(name, 2.5)


@pytest.mark.parametrize(
    ("name", "depth", "channels", "alpha"),
    [("grey16.png", 16, 1, False), ("greya16.png", 16, 1, True), ("grey12.tif", 16, 1, False),
     ("rgb16-msb.tif", 16, 3, False), ("rgba16.tif", 16, 3, True), ("bits.png", 8, 1, False),
     ("bits.tif", 8, 1, False), ("greya.png", 8, 1, True), ("turbo-grey.jpg", 8, 1, False),
     ("palette.png", 8, 3, False), ("palette-alpha.png", 8, 3, True), ("cmyk16.tif", 8, 3, False),
     ("ten-bits.avif", 8, 3, False)],
)  # fmt: skip
def test_what_kind_they_are(name: str, depth: int, channels: int, alpha: bool) -> None:
    picture = sample(name)
    assert picture.depth == depth
    assert picture.pixels.shape[2] == channels
    assert (picture.alpha is not None) == alpha
    if alpha:
        assert picture.alpha.dtype == picture.pixels.dtype


@pytest.mark.parametrize(
    ("name", "format"),
    [("rgb16.png", "rgb48le"), ("rgb16-msb.tif", "rgb48le"), ("grey16.png", "gray16le"),
     ("rgba16.png", "rgba64le"), ("rgba16.tif", "rgba64le")],
)  # fmt: skip
def test_sixteen_bits_are_those_that_ffmpeg_reads(name: str, format: str) -> None:
    assert np.array_equal(planes_of(sample(name)).squeeze(), by_ffmpeg(name, format))


def test_sixteen_bits_of_several_ways_to_store_them() -> None:
    original, grey = sample("rgb16.png").pixels, sample("grey16.png").pixels
    turned = sample("rgb16-lzw-turned.tif").pixels
    assert np.array_equal(np.rot90(turned), original)
    assert np.array_equal(sample("rgb16-interlaced.png").pixels, original)
    assert np.array_equal(sample("grey16-white-is-zero.tif").pixels, grey)
    assert np.abs(sample("grey12.tif").pixels.astype(int) - grey).max() <= 32  # cut, not rounded
    assert np.array_equal(sample("greya16.png").pixels, grey)
    whole, premultiplied = sample("rgba16.png"), sample("rgba16-premultiplied.tif")
    assert np.array_equal(whole.alpha, premultiplied.alpha)
    error = np.abs(whole.pixels.astype(float) - premultiplied.pixels)
    assert (error * whole.alpha[:, :, None] <= 65535).all()  # what multiplying and rounding lose


@pytest.mark.parametrize("name", TURNED)
def test_all_orientations_stand_upright_and_their_metadata_say_so(name: str) -> None:
    upright, picture = sample("turbo.jpg"), sample(name)
    assert np.abs(picture.pixels.astype(int) - upright.pixels).max() <= 3
    assert picture.icc == upright.icc
    tags = Image.Exif()
    tags.load(picture.exif)
    assert (tags[0x010F], tags[0x0110], tags[0x0112]) == ("Camera", "Model 7", 1)
    assert tags.get_ifd(0x8769)[0x829A] == pytest.approx(1 / 125)
    assert tags.get_ifd(0x8825)[1] == "N"
    assert not tags.get_ifd(1)  # the thumbnail
    assert b"Rating" in picture.xmp
    assert b"<tiff:Orientation>7" not in picture.xmp


def test_widths_and_heights_in_exif_turn_with_the_picture() -> None:
    tags = Image.Exif()
    tags.load(sample("turned-6.jpg").exif)
    assert (tags[282], tags[283]) == (300, 72)
    assert (tags.get_ifd(0x8769)[0xA002], tags.get_ifd(0x8769)[0xA003]) == (48, 32)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_has_a_hint(name: str) -> None:
    with pytest.raises(IcmhError, match=rf"{name}: .*{REFUSED[name]}"):
        sample(name)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec("test-tiny")


@pytest.mark.parametrize("name", READ)
def test_all_but_the_colours_survive_the_codec_exactly(name: str, codec: Codec) -> None:
    picture = sample(name)
    decoded = codec.decode(codec.encode(picture).data).picture
    assert decoded.pixels.dtype == picture.pixels.dtype
    assert decoded.pixels.shape == picture.pixels.shape
    assert np.array_equal(decoded.alpha, picture.alpha)
    for field in ("icc", "exif", "xmp"):
        assert getattr(decoded, field) == getattr(picture, field)


@pytest.mark.parametrize("format", ["png", "tiff", "webp", "jpeg"])
@pytest.mark.parametrize("name", ["turned-6.jpg", "tagged.png", "ten-bits.avif", "rgb16-msb.tif"])
def test_a_cameras_metadata_survive_every_format(name: str, format: str) -> None:
    picture = sample(name)
    again = read(encode(picture, format))
    assert (again.icc, again.xmp) == (picture.icc, picture.xmp)
    before, after = Image.Exif(), Image.Exif()
    before.load(picture.exif)
    after.load(again.exif)
    for directory in (0x8769, 0x8825):
        assert after.get_ifd(directory) == before.get_ifd(directory)
    kept = set(before) - {0x0100, 0x0101, 0x0213}  # how the pixels lay in the old file
    assert {tag: after[tag] for tag in kept if tag < 0x8000} == {
        tag: before[tag] for tag in kept if tag < 0x8000
    }


SCIKIT_IMAGES = {"camera.png": 1, "coffee.png": 3, "horse.png": 3, "logo.png": 3, "text.png": 1,
                 "hubble_deep_field.jpg": 3, "moon.png": 1}  # fmt: skip


@pytest.mark.parametrize("name", SCIKIT_IMAGES)
def test_scikit_images_own(name: str) -> None:
    skimage = pytest.importorskip("skimage", reason="scikit-image has the samples")
    path = Path(skimage.__file__).parent / "data" / name
    picture = read(path)
    assert picture.pixels.shape[2] == SCIKIT_IMAGES[name]
    with Image.open(path) as image:
        assert picture.pixels.shape[:2] == (image.height, image.width)
        assert (picture.icc, picture.depth) == (image.info.get("icc_profile"), 8)
