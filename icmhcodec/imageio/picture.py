"""The picture that is coded: upright pixels of 8 or 16 bits, alpha apart, metadata as bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio import exif as exif_

# What each value of the orientation tag asks for to stand upright (Exif 2.3, table 6): the steps
# through rows and columns, and whether these change places afterwards.
_TURNS = {2: (1, -1, False), 3: (-1, -1, False), 4: (-1, 1, False), 5: (1, 1, True),
          6: (-1, 1, True), 7: (-1, -1, True), 8: (1, -1, True)}  # fmt: skip
_SIXTEEN_BIT_GREY = ("I;16", "I;16B", "I;16L", "I;16N")
_SCALED_GREY = {"L;2": 85, "L;4": 17}
_DEPTHS = {np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}


@dataclass(frozen=True)
class Picture:
    """A picture, upright: pixels uint8 or uint16 [H,W,3] or [H,W,1], alpha alike [H,W], metadata.

    Samples are 0 to 255, or 0 to 65535.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc: bytes | None = None
    exif: bytes | None = None  # from its TIFF header on
    xmp: bytes | None = None

    @property
    def depth(self) -> int:
        """Bits of a sample: 8 or 16."""
        return _DEPTHS[self.pixels.dtype]


def from_array(array: NDArray[Any]) -> Picture:
    """A Picture of uint8 or uint16 [H,W] or [H,W,C]: 1 grey, 2 grey and alpha, 3 RGB, 4 with alpha.

    Raises:
        UsageError: another type or shape, or no pixels.
    """
    if array.dtype not in _DEPTHS:
        raise UsageError(f"an array of {array.dtype} is not a picture: give uint8 or uint16")
    planes = array[:, :, None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[2] not in (1, 2, 3, 4) or planes.size == 0:
        raise UsageError(f"shape {array.shape} is not a picture: give [H,W] or [H,W,C], C 1 to 4")
    colours = planes.shape[2] - (planes.shape[2] % 2 == 0)
    alpha = planes[:, :, colours].copy() if colours < planes.shape[2] else None
    return Picture(planes[:, :, :colours].copy(), alpha)


def from_pil(
    image: Image.Image, samples: NDArray[Any] | None = None, orientation: int | None = None
) -> Picture:
    """A Picture of a PIL image (its current frame), turned upright: grey or RGB.

    16-bit grey stays so. Palettes become RGB; CMYK and LAB become sRGB, through their colour
    profile where they have one; CMYK without is (255-C)(255-K)/255 and so on. `samples` [H,W,C]
    stand for the image's own pixels where Pillow has no mode for them, `orientation` for what the
    file said before Pillow turned it, as it does with TIFFs.

    Raises:
        IcmhError: the pixels cannot be read, or are 32-bit numbers of unknown range.
        UsageError: the image has no pixels.
    """
    try:
        scale_transparency(image)  # first: of a PNG, asking for Exif loads the pixels
        stated = orientation_of(image) if orientation is None else orientation
        image.load()
        icc = image.info.get("icc_profile") or None
        if samples is None:
            samples = _to_grey_or_rgb(image, icc)
    except IcmhError:
        raise
    except Exception as error:  # Pillow's readers raise nearly everything on broken data
        raise IcmhError(f"the picture cannot be read: {_line(error)}") from error
    rows, columns, swapped = _TURNS.get(orientation_of(image), (1, 1, False))
    samples = samples[::rows, ::columns]
    exif, xmp = _exif(image), _xmp(image)
    return replace(
        from_array(samples.swapaxes(0, 1) if swapped else samples),
        icc=icc if isinstance(icc, bytes) and image.mode not in ("CMYK", "LAB") else None,
        exif=exif and exif_.upright(exif, stated),
        xmp=xmp and exif_.upright_xmp(xmp, stated),
    )


def to_pil(picture: Picture) -> Image.Image:
    """The PIL image of a Picture: L, LA, RGB, RGBA or I;16, with its metadata in `info`.

    Pillow has no other 16-bit mode: RGB and what has alpha are rounded to 8 bits.
    """
    if picture.pixels.shape[2] == 3 or picture.alpha is not None:
        picture = to_eight_bits(picture)
    planes = planes_of(picture)
    image = Image.fromarray(planes[:, :, 0] if planes.shape[2] == 1 else planes)
    metadata = {"icc_profile": picture.icc, "exif": picture.exif, "xmp": picture.xmp}
    image.info.update({key: value for key, value in metadata.items() if value})
    return image


def planes_of(picture: Picture) -> NDArray[Any]:
    """Pixels and alpha together, [H,W,C]."""
    if picture.alpha is None:
        return picture.pixels
    return np.concatenate([picture.pixels, picture.alpha[:, :, None]], axis=2)


def to_eight_bits(picture: Picture) -> Picture:
    """The picture with samples of 8 bits: of 16 bits the nearest of v * 255 / 65535."""
    if picture.depth == 8:
        return picture
    alpha = picture.alpha
    return replace(
        picture,
        pixels=_rounded(picture.pixels),
        alpha=None if alpha is None else _rounded(alpha),
    )


def with_transparent(samples: NDArray[Any], colour: object) -> NDArray[Any]:
    """Samples [H,W,C] with alpha that is 0 where they have this colour (None: no such colour)."""
    if colour is None:
        return samples
    opaque = (samples != np.asarray(colour)).any(axis=2, keepdims=True)
    alpha = opaque * np.iinfo(samples.dtype).max
    return np.concatenate([samples, alpha.astype(samples.dtype)], axis=2)


def scale_transparency(image: Image.Image) -> None:
    """Before its pixels are loaded: scale the transparent level of a PNG of 2 or 4 bits to 8.

    Pillow scales the samples alone.
    """
    tiles = getattr(image, "tile", ())
    factor = _SCALED_GREY.get(tiles[0][3]) if image.format == "PNG" and tiles else None
    level = image.info.get("transparency")
    if factor and isinstance(level, int):
        image.info["transparency"] = level * factor & 255


def _rounded(values: NDArray[Any]) -> NDArray[Any]:
    # (v * 255 + 32767) // 65535 in 32 bits, without a division
    return ((values.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)


def _to_grey_or_rgb(image: Image.Image, icc: bytes | None) -> NDArray[Any]:
    """Samples [H,W] or [H,W,C] in one of grey, grey and alpha, RGB, RGBA."""
    mode = image.mode
    if mode in _SIXTEEN_BIT_GREY:
        values = np.asarray(image).astype(np.uint16)[:, :, None]
        return with_transparent(values, image.info.get("transparency"))
    if mode in ("I", "F"):
        raise IcmhError("32-bit samples have no known range; convert them to 8 or 16 bits first")
    if mode in ("CMYK", "LAB"):
        return np.asarray(_to_srgb(image, icc))
    transparent = image.has_transparency_data
    if mode in ("1", "L", "LA", "La"):
        return np.asarray(image.convert("LA" if transparent else "L"))
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    try:
        if image.mode == "LAB":
            lab = ImageCms.createProfile("LAB")
            transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
            converted = ImageCms.applyTransform(image, transform)
        elif icc is None:
            converted = image.convert("RGB")
        else:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # a broken profile, or one that is not for CMYK
        converted = image.convert("RGB")
    assert converted is not None  # only a conversion in place returns nothing
    return converted


def orientation_of(image: Image.Image) -> int:
    """What the image's Exif says of how it lies: 1 (upright) to 8, 1 where it says nothing."""
    try:
        return int(image.getexif().get(exif_.ORIENTATION, 1))
    except Exception:  # broken Exif must not cost the picture
        return 1


def _exif(image: Image.Image) -> bytes | None:
    try:
        if "exif" in image.info:
            return exif_.normalise(image.info["exif"])
        tags = image.getexif()
        if hasattr(image, "tag_v2"):
            kept = Image.Exif()
            kept.update(exif_.descriptive(tags))
            tags = kept
        return exif_.normalise(tags.tobytes()) if tags else None
    except Exception:  # see orientation_of
        return None


def _xmp(image: Image.Image) -> bytes | None:
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    return xmp if isinstance(xmp, bytes) else None


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
