from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from icmhcodec.imageio import sheet

PAPER = np.array([255, 255, 255])


def inked(strip):
    """Rows and columns that are not all paper."""
    marked = (np.asarray(strip) != PAPER).any(2)
    return np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))


def coloured(width, height, colour):
    return Image.new("RGB", (width, height), colour)


def test_strips_are_put_below_and_beside_each_other():
    red, blue = coloured(4, 3, "red"), coloured(2, 5, "blue")
    page = sheet.stack([red, blue], 2)
    assert page.size == (4, 10)
    assert page.getpixel((3, 2)) == (255, 0, 0)
    assert page.getpixel((1, 9)) == (0, 0, 255)
    assert page.getpixel((0, 4)) == page.getpixel((3, 9)) == (255, 255, 255)
    line = sheet.beside([red, blue], 1)
    assert line.size == (7, 5)
    assert line.getpixel((5, 4)) == (0, 0, 255)
    assert sheet.framed(red, 6).size == (16, 15)
    assert sheet.widened(blue, 9).size == (9, 5)


@given(st.text(max_size=60), st.integers(30, 300), st.integers(10, 30))
def test_no_text_leaves_its_strip(words, width, size):
    strip = sheet.text(words, width, size)
    assert strip.width == width
    for line in sheet.wrapped(words, width, size):
        assert sheet.length(line, size) <= max(width, sheet.length("…", size))
    rows, columns = inked(sheet.framed(strip, 5))
    assert all(5 <= row < 5 + strip.height for row in rows)
    assert all(4 <= column < 6 + width for column in columns)


def test_lines_keep_all_words_and_long_names_their_ends():
    words = "a layer of some bytes and of some more"
    lines = list(sheet.wrapped(words, 90, 13))
    assert len(lines) > 2
    assert " ".join(lines) == words
    (name,) = sheet.wrapped("photograph-of-a-very-long-name.icm", 120, 13)
    assert name.startswith("photo")
    assert name.endswith(".icm")
    assert "…" in name


def test_what_the_font_has_not_is_a_question_mark():
    assert list(sheet.wrapped("写真 été", 200, 13)) == ["?? ?t?"]


@pytest.mark.parametrize(
    ("size", "expected"), [((400, 300), (200, 150)), ((10, 30), (40, 120)), ((9000, 2), (200, 1))]
)
def test_pictures_fit_in_their_shape(size, expected):
    assert sheet.fitted(size, 200, 120 if size[0] < size[1] else 300) == expected


def test_a_bar_is_in_proportion():
    bar = np.asarray(sheet.shares([("a", 300, "#ff0000"), ("b", 100, "#0000ff")], 200, 14))
    first = bar[3]
    assert (first[:149] == [255, 0, 0]).all()
    assert (first[151:] == [0, 0, 255]).all()


def test_many_parts_flow_over_several_lines():
    parts = [(f"layer {n}", n + 1, "#0072b2") for n in range(40)]
    one, many = (sheet.shares(parts[:k], 300, 13) for k in (1, 40))
    assert many.height > one.height + 100
    assert many.width == one.width == 300


def test_a_scale_shows_its_colours_and_numbers():
    strip = sheet.scale(0, 4, 300, 14, over=True)
    pixels = np.asarray(strip)
    assert pixels[3, 0].tolist() == [0x44, 1, 0x54]
    assert pixels[3, -1].tolist() == [0xFD, 0xE7, 0x25]
    rows, _ = inked(strip.crop((0, 14, 300, strip.height)))
    assert len(rows) > 5
    veiled = np.asarray(sheet.scale(0, 4, 300, 14, grey=0.5))
    assert veiled[3, 0].tolist() == [98, 64, 106]
