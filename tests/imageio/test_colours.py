from __future__ import annotations

import numpy as np

from icmhcodec.imageio import colours


def luminance(pixels):
    """CIE L* of sRGB, uint8 [...,3]."""
    linear = (pixels / 255.0 + 0.055) ** 2.4 / 1.055**2.4
    linear = np.where(pixels / 255 <= 0.04045, pixels / 255 / 12.92, linear)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(y) - 16


def test_the_ends_are_those_of_the_map_and_what_lies_beyond_is_clipped():
    painted = colours.paint(np.array([[-5.0, 0, 2, 9]]), 0, 2)
    assert painted.tolist() == [[[0x44, 1, 0x54]] * 2 + [[0xFD, 0xE7, 0x25]] * 2]
    assert colours.paint(np.array([[3.0]]), 3, 3).shape == (1, 1, 3)  # a scale of no length


def test_lightness_rises_evenly():
    light = luminance(colours.paint(np.linspace(0, 1, 33)[None], 0, 1)[0])
    steps = np.diff(light)
    assert steps.min() > 0.7 * steps.mean()
    assert steps.max() < 1.5 * steps.mean()
