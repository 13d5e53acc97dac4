"""Strips of a page: texts, pictures, scales and bars as PIL images that are put together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from icmhcodec.imageio import colours

PAPER, INK, FAINT, RULE = "#ffffff", "#1d2430", "#5b6472", "#d5d9df"
MID_GREY = "#808080"
LEADING = 1.35  # of a line, in sizes of its font
DRAWN = "·…"  # what Pillow's own font has beyond ASCII, of what is used here

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=16)
def font(size: int) -> Font:
    """Pillow's own font."""
    return ImageFont.load_default(size)


def blank(width: int, height: int) -> Image.Image:
    """Paper."""
    return Image.new("RGB", (max(width, 1), max(height, 1)), PAPER)


def stack(strips: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Strips one below the other, at the left edge."""
    page = blank(max(s.width for s in strips), sum(s.height + gap for s in strips) - gap)
    top = 0
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height + gap
    return page


def beside(strips: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Strips side by side, at the upper edge."""
    page = blank(sum(s.width + gap for s in strips) - gap, max(s.height for s in strips))
    left = 0
    for strip in strips:
        page.paste(strip, (left, 0))
        left += strip.width + gap
    return page


def widened(strip: Image.Image, width: int) -> Image.Image:
    """A strip with paper to its right."""
    page = blank(width, strip.height)
    page.paste(strip, (0, 0))
    return page


def framed(strip: Image.Image, margin: int) -> Image.Image:
    """A strip with paper all around."""
    page = blank(strip.width + 2 * margin, strip.height + 2 * margin)
    page.paste(strip, (margin, margin))
    return page


def text(words: str, width: int, size: int, colour: str = INK) -> Image.Image:
    """Words in as many lines as they need."""
    lines = list(wrapped(words, width, size))
    height = round(LEADING * size)
    strip = blank(width, height * len(lines))
    pen = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        pen.text((0, number * height), line, colour, font(size))
    return strip


def wrapped(words: str, width: int, size: int) -> Iterator[str]:
    """Lines that are no wider; a word that is too wide loses its middle."""
    line = ""
    for word in words.split():
        fitting = shortened(word, width, size)
        longer = f"{line} {fitting}".strip()
        if line and length(longer, size) > width:
            yield _drawable(line)
            longer = fitting
        line = longer
    yield _drawable(line)


def shortened(word: str, width: int, size: int) -> str:
    """The word, with … for its middle where it is too wide."""
    if length(word, size) <= width:
        return word
    for kept in range(len(word) - 1, 1, -1):
        short = f"{word[: kept - kept // 2]}…{word[-(kept // 2) :]}"
        if length(short, size) <= width:
            return short
    return "…"


def length(line: str, size: int) -> float:
    """Width of a line in pixels."""
    return font(size).getlength(_drawable(line))


def _drawable(line: str) -> str:
    return "".join(c if " " <= c <= "~" or c in DRAWN else "?" for c in line)


def rule(width: int) -> Image.Image:
    """A thin line."""
    return Image.new("RGB", (width, 1), RULE)


def fitted(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """The largest size of that shape within width and height, at least a pixel on each side."""
    factor = min(width / size[0], height / size[1])
    return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)


def scale(
    low: float, high: float, width: int, size: int, *, over: bool = False, grey: float = 0.0
) -> Image.Image:
    """The colours from low to high with their numbers; with `over` some values lie above.

    `grey` is the share of mid-grey in the colours, where they lie over a picture.
    """
    shades = colours.paint(np.linspace(0, 1, width)[None].repeat(size, 0), 0, 1)
    bar = Image.blend(Image.fromarray(shades), Image.new("RGB", (width, size), MID_GREY), grey)
    labels = blank(width, round(LEADING * size))
    pen = ImageDraw.Draw(labels)
    numbers = [(low, 0.0, "la"), ((low + high) / 2, width / 2, "ma"), (high, width - 1, "ra")]
    for value, place, anchor in numbers:
        more = " and more" if over and value == high else ""
        pen.text((place, 2), f"{value:.4g}{more}", FAINT, font(size), anchor)
    return stack([bar, labels])


def shares(parts: Sequence[tuple[str, int, str]], width: int, size: int) -> Image.Image:
    """A bar of parts (name, amount, colour) in proportion, and below it what they are."""
    total = sum(amount for _, amount, _ in parts)
    bar = blank(width, round(1.2 * size))
    pen = ImageDraw.Draw(bar)
    left = 0.0
    for _, amount, colour in parts:
        right = left + width * amount / total
        pen.rectangle((round(left), 0, max(round(right) - 1, round(left)), bar.height), colour)
        left = right
    entries = [_entry(f"{name} {amount:,}", colour, size) for name, amount, colour in parts]
    return stack([bar, _flowing(entries, width, round(1.4 * size))], size // 2)


def _entry(words: str, colour: str, size: int) -> Image.Image:
    """A square of a colour and what it stands for."""
    label = text(words, math.ceil(length(words, size)), size, FAINT)
    swatch = blank(round(1.2 * size), label.height)
    side = round(0.75 * size)
    top = round(0.3 * size)
    ImageDraw.Draw(swatch).rectangle((0, top, side, top + side), colour)
    return beside([swatch, label])


def _flowing(entries: Sequence[Image.Image], width: int, gap: int) -> Image.Image:
    """Entries in as many lines as they need."""
    lines: list[list[Image.Image]] = [[]]
    for entry in entries:
        if lines[-1] and sum(e.width + gap for e in [*lines[-1], entry]) - gap > width:
            lines.append([])
        lines[-1].append(entry)
    return stack([beside(line, gap) for line in lines])
