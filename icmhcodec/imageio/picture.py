"""The picture that is coded: upright 8-bit pixels, alpha apart, metadata as bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio import exif as exif_

# What each value of the orientation tag asks for to stand upright (Exif 2.3, table 6).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIXTEEN_BIT_GREY = ("I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class Picture:
    """A picture, upright: pixels uint8 [H,W,3] or [H,W,1], alpha uint8 [H,W], metadata."""

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    icc: bytes | None = None
    exif: bytes | None = None  # from its TIFF header on
    xmp: bytes | None = None


def from_array(array: NDArray[np.uint8]) -> Picture:
    """A Picture of uint8 [H,W] or [H,W,C]: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.

    Raises:
        UsageError: another type or shape, or no pixels.
    """
    if array.dtype != np.uint8:
        raise UsageError(f"an array of {array.dtype} is not a picture here: give uint8")
    planes = array[:, :, None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[2] not in (1, 2, 3, 4) or planes.size == 0:
        raise UsageError(f"shape {array.shape} is not a picture: give [H,W] or [H,W,C], C 1 to 4")
    colours = planes.shape[2] - (planes.shape[2] % 2 == 0)
    alpha = planes[:, :, colours].copy() if colours < planes.shape[2] else None
    return Picture(planes[:, :, :colours].copy(), alpha)


def from_pil(image: Image.Image) -> Picture:
    """A Picture of a PIL image (its current frame): turned upright, at most 8 bits, grey or RGB.

    16-bit grey is scaled to 8 bits; more is not kept yet. Palettes become RGB; CMYK and LAB
    become sRGB, through their colour profile where they have one.

    Raises:
        IcmhError: the pixels cannot be read, or are 32-bit numbers of unknown range.
        UsageError: the image has no pixels.
    """
    try:
        image.load()
        orientation = _orientation(image)
        icc = image.info.get("icc_profile") or None
        colours, keeps_profile = _to_grey_or_rgb(image, icc)
    except IcmhError:
        raise
    except Exception as error:  # Pillow's readers raise nearly everything on broken data
        raise IcmhError(f"the picture cannot be read: {_line(error)}") from error
    turn = _TURNS.get(orientation)
    picture = from_array(np.asarray(colours if turn is None else colours.transpose(turn)))
    exif, xmp = _exif(image), _xmp(image)
    return Picture(
        picture.pixels,
        picture.alpha,
        icc=icc if keeps_profile and isinstance(icc, bytes) else None,
        exif=exif and exif_.upright(exif, turned=turn is not None),
        xmp=xmp and exif_.upright_xmp(xmp),
    )


def to_pil(picture: Picture) -> Image.Image:
    """The PIL image of a Picture: L, LA, RGB or RGBA, with its metadata in `info`."""
    planes = picture.pixels
    if picture.alpha is not None:
        planes = np.concatenate([planes, picture.alpha[:, :, None]], axis=2)
    image = Image.fromarray(planes[:, :, 0] if planes.shape[2] == 1 else planes)
    metadata = {"icc_profile": picture.icc, "exif": picture.exif, "xmp": picture.xmp}
    image.info.update({key: value for key, value in metadata.items() if value})
    return image


def scale_to_eight_bits(
    values: NDArray[np.uint16], transparent: object = None
) -> NDArray[np.uint8]:
    """16-bit samples [H,W,C] as 8 bits, rounded; `transparent` is a colour that becomes alpha 0."""
    # (v * 255 + 32767) // 65535 in 32 bits, without a division
    levels = ((values.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)
    if transparent is None:
        return levels
    alpha = np.where((values == np.asarray(transparent)).all(axis=2, keepdims=True), 0, 255)
    return np.concatenate([levels, alpha.astype(np.uint8)], axis=2)


def _to_grey_or_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bool]:
    """The image in one of L, LA, RGB, RGBA, and whether its profile still describes it."""
    mode = image.mode
    if mode in _SIXTEEN_BIT_GREY:
        planes = np.asarray(image).astype(np.uint16)[:, :, None]
        levels = scale_to_eight_bits(planes, image.info.get("transparency"))
        return Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels), True
    if mode in ("I", "F"):
        raise IcmhError("32-bit samples have no known range; convert them to 8 or 16 bits first")
    if mode in ("CMYK", "LAB"):
        return _to_srgb(image, icc), False
    transparent = image.has_transparency_data
    if mode in ("1", "L", "LA", "La"):
        return image.convert("LA" if transparent else "L"), True
    return image.convert("RGBA" if transparent else "RGB"), True


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


def _orientation(image: Image.Image) -> int:
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
            tags = exif_.descriptive(tags)
        return exif_.normalise(tags.tobytes()) if tags else None
    except Exception:  # see _orientation
        return None


def _xmp(image: Image.Image) -> bytes | None:
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    return xmp if isinstance(xmp, bytes) else None


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
