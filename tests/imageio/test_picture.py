from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio import Picture, from_array, from_pil, to_eight_bits, to_pil

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "colours", "alpha"),
    [((5, 7), 1, False), ((5, 7, 1), 1, False), ((5, 7, 2), 1, True), ((5, 7, 3), 3, False),
     ((5, 7, 4), 3, True)],
)  # fmt: skip
def test_arrays_and_pil_images_there_and_back(
    shape: tuple[int, ...], colours: int, alpha: bool
) -> None:
    array = noise(*shape)
    picture = from_array(array)
    assert picture.pixels.shape == (5, 7, colours)
    assert (picture.alpha is not None) == alpha
    again = from_pil(to_pil(picture))
    assert np.array_equal(again.pixels, picture.pixels)
    assert np.array_equal(np.asarray(to_pil(again)), array.squeeze())
    assert picture.pixels.flags.writeable
    assert not np.shares_memory(picture.pixels, array)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4)), np.zeros(4, np.uint8), np.zeros((4, 4, 5), np.uint8),
     np.zeros((0, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8),
     np.zeros((4, 4), np.int16)],
)  # fmt: skip
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UsageError):
        from_array(array)


def test_sixteen_bits_stay_and_are_rounded_on_request() -> None:
    values = np.arange(65536).astype(np.uint16)
    expected = np.floor(values.astype(float) * 255 / 65535 + 0.5).astype(np.uint8)
    picture = from_pil(Image.fromarray(values.reshape(256, 256)))
    assert picture.depth == 16
    assert np.array_equal(picture.pixels.ravel(), values)
    reduced = to_eight_bits(Picture(picture.pixels, picture.pixels[:, :, 0]))
    assert reduced.depth == 8
    assert reduced.alpha is not None
    assert np.array_equal(reduced.pixels.ravel(), expected)
    assert np.array_equal(reduced.alpha.ravel(), expected)
    assert to_eight_bits(reduced) is reduced


@pytest.mark.parametrize(("channels", "mode"), [(1, "I;16"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_pillow_has_sixteen_bits_of_grey_alone(channels: int, mode: str) -> None:
    picture = from_array(RNG.integers(0, 65536, (5, 7, channels), dtype=np.uint16))
    assert (picture.depth, picture.pixels.dtype) == (16, np.uint16)
    image = to_pil(picture)
    assert image.mode == mode
    kept = picture if channels == 1 else to_eight_bits(picture)
    again = from_pil(image)
    assert np.array_equal(again.pixels, kept.pixels)
    assert np.array_equal(again.alpha, kept.alpha)


@pytest.mark.parametrize(
    "image",
    [Image.new("1", (4, 3), 1), Image.new("L", (4, 3), 255), Image.new("RGBX", (4, 3), "white"),
     Image.new("YCbCr", (4, 3), (255, 128, 128)), Image.new("HSV", (4, 3), (0, 0, 255)),
     Image.new("PA", (4, 3)), Image.new("La", (4, 3), (255, 255)), Image.new("RGBa", (4, 3))],
    ids=lambda image: image.mode,
)  # fmt: skip
def test_pillows_other_modes(image: Image.Image) -> None:
    picture = from_pil(image)
    grey = image.mode in ("1", "L", "La")
    assert picture.pixels.shape == (3, 4, 1 if grey else 3)
    assert (picture.alpha is not None) == (image.mode in ("PA", "La", "RGBa"))
    assert (picture.pixels == (0 if image.mode in ("PA", "RGBa") else 255)).all()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_samples_of_unknown_range_are_refused(mode: str) -> None:
    with pytest.raises(IcmhError, match="32-bit samples"):
        from_pil(Image.new(mode, (4, 4)))


def test_palettes_become_rgb_with_alpha_where_they_have_it() -> None:
    image = Image.fromarray(noise(6, 6, 3)).quantize(8)
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(from_pil(image).pixels, expected)
    image.info["transparency"] = 0
    picture = from_pil(image)
    assert np.array_equal(picture.pixels, expected)
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, np.asarray(image) == 0)


def test_a_transparent_colour_becomes_alpha_and_grey_stays_grey() -> None:
    image = Image.fromarray(np.array([[0, 9], [9, 255]], np.uint8))
    image.info["transparency"] = 9
    picture = from_pil(image)
    assert picture.pixels.shape == (2, 2, 1)
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0], [0, 255]]


def test_cmyk_becomes_rgb_with_a_broken_profile_too() -> None:
    image = Image.new("CMYK", (3, 3), (255, 0, 0, 0))
    plain = from_pil(image)
    assert plain.pixels[0, 0].tolist() == [0, 255, 255]
    image.info["icc_profile"] = b"no profile"
    broken = from_pil(image)
    assert np.array_equal(broken.pixels, plain.pixels)
    assert broken.icc is None


def test_lab_is_colour_managed() -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    colours = Image.new("RGB", (4, 4), (200, 60, 30))
    image = ImageCms.applyTransform(colours, ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    assert image is not None
    assert np.abs(from_pil(image).pixels[0, 0].astype(int) - (200, 60, 30)).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_pillow_applies_it(orientation: int) -> None:
    from PIL import ImageOps

    image = Image.fromarray(noise(4, 7, 4))
    image.getexif()[0x0112] = orientation
    image.info["exif"] = image.getexif().tobytes()
    picture = from_pil(image)
    expected = ImageOps.exif_transpose(image)
    assert np.array_equal(np.asarray(to_pil(picture)), np.asarray(expected))
    assert picture.exif is not None
    tags = Image.Exif()
    tags.load(picture.exif)
    assert tags[0x0112] == 1


def test_broken_metadata_cost_no_picture() -> None:
    image = Image.new("RGB", (4, 4))
    image.info.update(exif=b"Exif\0\0rubbish", xmp=7, icc_profile="text")
    picture = from_pil(image)
    assert (picture.exif, picture.xmp, picture.icc) == (None, None, None)


def test_metadata_travel_with_pil_images() -> None:
    picture = Picture(noise(4, 4, 3), None, b"icc", b"II*\0\x08" + bytes(9), b"<xmp/>")
    again = from_pil(to_pil(picture))
    assert (again.icc, again.exif, again.xmp) == (picture.icc, picture.exif, picture.xmp)
