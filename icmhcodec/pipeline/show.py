"""A page that shows what is in a file: pictures, where the bits go, and spectra of the latent.

In the manner of figure 2 of Adapt-ICMH (ECCV 2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from icmhcodec import container
from icmhcodec.errors import FormatError
from icmhcodec.imageio import Picture, colours, sheet
from icmhcodec.pipeline.area import LATENT_STRIDE
from icmhcodec.pipeline.info import info
from icmhcodec.pipeline.inside import Inside, Map, look
from icmhcodec.pipeline.networks import Networks

WIDTH = 1600  # pixels of a page
COLUMNS = 3
POSITION = LATENT_STRIDE**2  # pixels of a position of the latent
PICTURE_SHARE = 0.35  # of the picture below a map
RANGE = 99.5  # percentile of the bits that the scale reaches to
DEPTH = 2.0  # percentile of a spectrum that the scale begins at
HUMAN_COLOUR, *TASK_COLOURS = colours.KINDS
SIDE_COLOURS = {"header": "#4a4f57", "hyper": "#9aa0a8"}
OTHER_COLOUR = "#c9cdd3"
WARNING = "#d55e00"
ADAPTED = {"decoder": "in the decoder", "task adapter": "on the decoded picture"}

Info = dict[str, Any]


@dataclass(frozen=True)
class _Type:
    """Measures of a page in pixels, all by its width."""

    page: int

    @property
    def margin(self) -> int:
        return self.page // 40

    @property
    def gap(self) -> int:
        return self.page // 64

    @property
    def column(self) -> int:
        return (self.page - 2 * self.margin - (COLUMNS - 1) * self.gap) // COLUMNS

    @property
    def width(self) -> int:
        """Of all columns together."""
        return COLUMNS * self.column + (COLUMNS - 1) * self.gap

    @property
    def size(self) -> int:
        """Of the text: in proportion, but legible."""
        return max(round(self.page / 95), 13)


def show(
    networks: Networks,
    data: bytes,
    name: str,
    *,
    original: tuple[str, int, Picture] | None = None,
    width: int = WIDTH,
) -> tuple[Image.Image, tuple[str, ...]]:
    """The page of a file or part of that name, RGB, and what there is to warn of.

    `original` is a name, the bytes of its file and its picture, upright as all pictures are.
    Errors: those of decoding; FormatError where no layer is whole; UsageError where the original
    has another size.
    """
    type_ = _Type(width)
    found = info(data)
    inside = look(networks, data, type_.column, original[2] if original else None)
    if not inside.layers:
        raise FormatError("no layer of this part is complete; join it with the other part first")
    strips = [_head(name, found, type_), sheet.rule(type_.width), _titles(inside, type_)]
    if original is not None:
        strips.append(_original(original, found, inside, type_))
    strips += [_layer(n, data, found, inside, type_) for n in range(len(found["layers"]))]
    page = sheet.stack(strips, round(1.2 * type_.size))
    return sheet.framed(page, type_.margin), inside.warnings


def _head(name: str, found: Info, type_: _Type) -> Image.Image:
    width, size = type_.width, type_.size
    groups = {f"{g['codec']['id']}, quality {g['quality']:.4g}": None for g in found["groups"]}
    tiles = found["tiles"]["columns"] * found["tiles"]["rows"]
    about = [
        f"{found['width']}x{found['height']} {found['channels']}",
        *([f"{tiles:,} tiles"] if tiles > 1 else []),
        f"{found['bytes']:,} bytes",
        _bpp(found["bytes"], found),
        "; ".join(groups),
    ]
    strips = [
        sheet.text(sheet.shortened(name, width, 2 * size), width, 2 * size),
        sheet.text(" · ".join(about), width, size, sheet.FAINT),
        sheet.shares(_parts(found), width, size),
    ]
    if found["missing"]:
        missing = f"not in this part: {', '.join(found['missing'])}"
        strips.append(sheet.text(missing, width, size, WARNING))
    return sheet.stack(strips, size // 2)


def _parts(found: Info) -> list[tuple[str, int, str]]:
    """Name, bytes and colour of each part of the file; the signature counts to the header."""
    layers = {layer["offset"]: layer for layer in found["layers"] if layer["present"]}
    parts = []
    for chunk in found["chunks"]:
        name, size = chunk["meaning"], chunk["bytes"]
        if name == "header":
            size += chunk["offset"]
        if layer := layers.get(chunk["offset"]):
            parts.append((_name(layer), size, _colour(layer)))
        else:
            kind = name.partition(" ")[0]
            parts.append((name, size, SIDE_COLOURS.get(kind, OTHER_COLOUR)))
    return parts


def _name(layer: Info) -> str:
    level = f":{layer['level']}" if layer["level"] else ""
    return f"{layer['task']}{level}"


def _colour(layer: Info) -> str:
    if layer["task"] == container.HUMAN:
        return HUMAN_COLOUR
    number: int = layer["layer"]
    return TASK_COLOURS[number % len(TASK_COLOURS)]


def _titles(inside: Inside, type_: _Type) -> Image.Image:
    """What the columns are, and what their colours mean."""
    column, size, small = type_.column, round(1.2 * type_.size), max(round(0.85 * type_.size), 12)
    high, over = _most_bits(inside)
    columns = {
        "decoded": ("as each reader gets it", sheet.blank(column, 1)),
        "where its bits go": (
            "bits per pixel, all channels of the latent together",
            sheet.scale(0, high, column, small, over=over, grey=PICTURE_SHARE),
        ),
        "spectrum of its latent": (
            f"power in dB; middle: frequency 0, edges: a cycle in {2 * LATENT_STRIDE} pixels",
            sheet.scale(*_power(inside), column, small),
        ),
    }
    heads = [
        sheet.stack(
            [sheet.text(title, column, size), sheet.text(means, column, small, sheet.FAINT)]
        )
        for title, (means, _) in columns.items()
    ]
    scales = [scale for _, scale in columns.values()]
    strips = [sheet.beside(heads, type_.gap), sheet.beside(scales, type_.gap)]
    return sheet.stack(strips, type_.size // 3)


def _layer(number: int, data: bytes, found: Info, inside: Inside, type_: _Type) -> Image.Image:
    """The row of a layer: a title, its picture, bits and spectrum with their captions."""
    entry = found["layers"][number]
    layer = inside.layers.get(number)
    if layer is None:
        lacking = "here, but what it builds on is not" if entry["present"] else "not in this part"
        return _row(_name(entry), lacking, [], [], type_)
    about = (
        f"{entry['bytes']:,} bytes, {_bpp(entry['bytes'], found)}, {entry['fill']:.1%} of the "
        "symbols of its latent"
    )
    if layer.adapted:
        about += f", adapters {' and '.join(ADAPTED[where] for where in layer.adapted)}"
    needed = len(container.split(data, [entry["task"]]))
    alone = f"decodes from {needed:,} bytes, {_bpp(needed, found)}"
    captions = [
        alone if layer.psnr is None else f"{alone}; {layer.psnr:.2f} dB PSNR",
        f"adds up to {_sum(layer.bits, layer.segment_bytes)}",
        "of what the layers up to this one hold, means elsewhere",
    ]
    pictures = _pictures(layer.picture, layer.bits, layer.spectrum, inside, type_.column)
    return _row(_name(entry), about, pictures, captions, type_)


def _bpp(size: int, found: Info) -> str:
    bpp = 8 * size / (found["width"] * found["height"])
    return f"{bpp:.3g} bpp" if bpp < 100 else f"{bpp:,.0f} bpp"


def _sum(bits: Map, sizes: Sequence[int]) -> str:
    """What the bits of a map add up to beside what the file has."""
    segments = "segment" if len(sizes) == 1 else "segments"
    return f"{bits.sum() / 8:,.0f} bytes; {sum(sizes):,} in {len(sizes):,} {segments}"


def _together(inside: Inside) -> tuple[Map, list[int]]:
    """Bits of all layers and the bytes of their segments."""
    layers = inside.layers.values()
    bits: Map = np.sum([layer.bits for layer in layers], 0)
    return bits, [size for layer in layers for size in layer.segment_bytes]


def _original(
    original: tuple[str, int, Picture], found: Info, inside: Inside, type_: _Type
) -> Image.Image:
    """The row before all layers: the picture as it was, all layers' bits, the latent unrounded."""
    name, length, _ = original
    before = inside.original
    assert before is not None
    bits, sizes = _together(inside)
    captions = [name, f"all layers: {_sum(bits, sizes)}", "before it is rounded"]
    pictures = _pictures(before.picture, bits, before.spectrum, inside, type_.column)
    about = f"{length:,} bytes, {_bpp(length, found)}"
    return _row("original", about, pictures, captions, type_)


def _row(
    title: str,
    about: str,
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    type_: _Type,
) -> Image.Image:
    """A title with what there is to say beside it, and below them pictures with captions."""
    size, large, gap = type_.size, round(1.4 * type_.size), type_.gap
    head = sheet.text(title, math.ceil(sheet.length(title, large)), large)
    left = type_.width - head.width - gap
    facts = sheet.text(about, left, size, sheet.FAINT)
    lowered = sheet.stack([sheet.blank(left, round(0.4 * size)), facts])  # to the same baseline
    strips = [sheet.beside([head, lowered], gap)]
    if pictures:
        placed = [sheet.widened(picture, type_.column) for picture in pictures]
        said = [sheet.text(words, type_.column, size, sheet.FAINT) for words in captions]
        strips += [sheet.beside(placed, gap), sheet.beside(said, gap)]
    return sheet.stack(strips, size // 3)


def _pictures(
    picture: Image.Image, bits: Map, spectrum: Map, inside: Inside, cell: int
) -> list[Image.Image]:
    """Picture, bits over it and spectrum, all of one size."""
    size = sheet.fitted(picture.size, cell, round(1.5 * cell))
    shown = picture.resize(size, Image.Resampling.BICUBIC)
    high, _ = _most_bits(inside)
    box = (0.0, 0.0, *inside.grid)
    painted = _resized(colours.paint(bits / POSITION, 0, high), size, box)
    over = Image.blend(painted, shown.convert("L").convert("RGB"), PICTURE_SHARE)
    power = _resized(colours.paint(spectrum, *_power(inside)), size, None)
    return [shown, over, power]


def _resized(
    pixels: Any, size: tuple[int, int], box: tuple[float, float, float, float] | None
) -> Image.Image:
    """Squares where there is room for them, means where there is not."""
    image = Image.fromarray(pixels)
    smaller = size[0] < image.width or size[1] < image.height
    how = Image.Resampling.BOX if smaller else Image.Resampling.NEAREST
    return image.resize(size, how, box)


def _most_bits(inside: Inside) -> tuple[float, bool]:
    """The bits per pixel that the scale ends with, and whether some lie above."""
    maps = [layer.bits for layer in inside.layers.values()]
    if inside.original is not None:
        maps.append(_together(inside)[0])
    values = np.concatenate([bits.ravel() for bits in maps]) / POSITION
    high = _round(float(np.percentile(values, RANGE)))
    return high, bool(values.max() > high)


def _round(value: float) -> float:
    """The next number of two digits, of which the second is even, that is not less."""
    if value <= 0:
        return 1.0
    unit = 2 * 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.ceil(value / unit - 1e-9) * unit)


def _power(inside: Inside) -> tuple[float, float]:
    """The decibels that the scale of spectra begins and ends with."""
    spectra = [layer.spectrum.ravel() for layer in inside.layers.values()]
    values = np.concatenate(spectra)
    low, high = np.percentile(values, [DEPTH, 100 - DEPTH / 10])
    return float(np.floor(low)), float(max(np.ceil(high), np.floor(low) + 1))
