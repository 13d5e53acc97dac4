from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from icmhcodec.tasks import inputs
from icmhcodec.tasks.inputs import Input

WAYS = {
    "stretch": Input((60, 50)),
    "letterbox": Input((64, 96), "letterbox", centred=True),
    "crop": Input((40, 40), "crop", "bicubic", fraction=0.9),
    "short": Input((48, 48), "short", multiple=32),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("size", [(90, 121), (121, 90), (20, 30)])
def test_the_differentiable_way_equals_pillows(way, size, photo, as_tensor):
    picture = photo(*size)
    # Pillow rounds to integers after each direction
    np.testing.assert_allclose(
        way.differentiable(as_tensor(picture)), way.tensor(picture), rtol=0, atol=1.6
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.floats(0, 0.4), st.sampled_from(list(inputs.FILTERS))
)
def test_resampling_is_pillows(length, size, cut, name):
    values = np.random.default_rng(length).random((1, length), np.float32)
    box = (cut * length, 0, length * (1 - cut / 2), 1)
    expected = Image.fromarray(values).resize((size, 1), inputs.FILTERS[name], box)
    matrix = inputs.resampling(length, box[0], box[2], size, name)
    np.testing.assert_allclose(values @ matrix.T, np.asarray(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("way", "canvas", "size"),
    [
        ("stretch", (60, 50), (60, 50)),
        ("letterbox", (64, 96), (48, 96)),
        ("crop", (40, 40), (40, 40)),
        ("short", (64, 96), (64, 96)),
    ],
)
def test_sizes(way, canvas, size):
    place = WAYS[way].place(100, 200)
    assert (place.canvas, place.size) == (canvas, size)
    assert WAYS[way].tensor(np.zeros((100, 200, 3), np.uint8)).shape[-2:] == canvas


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_boxes_find_the_way_back(way):
    place = way.place(100, 200)
    (top, left), (height, width) = place.corner, place.size
    box = np.array([[left, top, left + width, top + height]], np.float32)
    np.testing.assert_allclose(place.back(box)[0], place.box, rtol=1e-5, atol=1e-4)


def test_a_crop_is_central_and_has_the_ratio_of_the_input():
    place = Input((20, 40), "crop", fraction=0.5).place(100, 100)
    assert place.box == (25, 37.5, 75, 62.5)


def test_colours_and_range():
    way = Input((1, 1), bgr=True, scale=1 / 255, mean=(0.5, 0, 0), std=(0.5, 1, 2))
    picture = np.array([[[255, 51, 0]]], np.uint8)
    np.testing.assert_allclose(way.tensor(picture).ravel(), [-1, 0.2, 0.5], rtol=1e-6)


def test_what_is_left_over_is_filled_before_normalisation():
    way = Input((4, 4), "letterbox", fill=100, mean=(50, 50, 50), centred=True)
    x = way.tensor(np.zeros((2, 4, 3), np.uint8))
    assert x[0, 0, :, 0].tolist() == [50, -50, -50, 50]


def test_gradients_reach_the_picture():
    x = torch.rand(2, 3, 30, 40, requires_grad=True)
    WAYS["short"].differentiable(x).sum().backward()
    assert (x.grad > 0).all()
