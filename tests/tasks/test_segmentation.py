from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from icmhcodec.errors import UsageError
from icmhcodec.tasks import segmentation
from icmhcodec.tasks.segmentation import Segmentation

NETWORK = Segmentation()


def labels(*rows):
    return np.array(rows, np.uint8)


@pytest.fixture
def mask(tmp_path):
    image = Image.fromarray(labels([0, 0, 1], [1, 255, 2])).convert("L")
    image.save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_metrics_leave_void_out(mask):
    prediction = labels([0, 1, 1], [1, 7, 3])
    observed = NETWORK.observe(prediction, labels([0, 1, 1], [1, 7, 7]), str(mask))
    scores = NETWORK.metric(json.loads(json.dumps([observed])))
    # 0: 1 of 2; 1: 2 of 3; 2 and 3: none of 1
    assert scores["mIoU"] == pytest.approx(100 * (1 / 2 + 2 / 3) / 4)
    assert scores["pixel_accuracy"] == pytest.approx(100 * 3 / 5)
    # 0 and 1: all; 7: 1 of 2; 3: none
    assert scores["agreement"] == pytest.approx(100 * (1 + 1 + 1 / 2) / 4)


def test_an_unknown_class_is_wrong_but_no_class(mask):
    observed = NETWORK.observe(labels([0, 255, 1], [1, 0, 2]), labels([0, 0, 0], [0, 0, 0]), mask)
    assert NETWORK.metric([observed])["mIoU"] == pytest.approx(100 * (1 / 2 + 1 + 1) / 3)


def test_pictures_without_a_mask_count_for_the_agreement_alone(mask):
    one = labels([0, 0, 1], [1, 0, 2])
    observations = [NETWORK.observe(one, one, mask), NETWORK.observe(one, one * 0, None)]
    scores = NETWORK.metric(observations)
    assert scores["mIoU"] == 100
    assert scores["agreement"] == pytest.approx(100 * (6 / 9 + 2 / 4 + 1 / 2) / 3)
    assert set(NETWORK.metric(observations[1:])) == {"agreement"}
    assert math.isnan(NETWORK.metric([])["agreement"])


grids = st.lists(st.tuples(st.sampled_from([0, 1, 2, 255]), st.integers(0, 3)), min_size=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(grids, min_size=1, max_size=3))
def test_it_equals_its_definition_over_all_pixels(pictures):
    observations, pixels = [], []
    for picture in pictures:
        truth, prediction = (labels(row) for row in zip(*picture, strict=True))
        observations.append({"truth": segmentation.confusion(prediction, truth)})
        pixels += [(t, p) for t, p in picture if t != 255]
    values = [
        sum((t, p) == (c, c) for t, p in pixels) / sum(c in pair for pair in pixels)
        for c in range(4)
        if any(c in pair for pair in pixels)
    ]
    summed = segmentation._summed([o["truth"] for o in observations])
    expected = 100 * np.mean(values) if values else math.nan
    assert segmentation.mean_iou(summed) == pytest.approx(expected, nan_ok=True)


def test_labels_come_from_palettes_and_never_from_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png")
    assert segmentation.read_labels(tmp_path / "a.png").tolist() == [[0, 1]]
    image.convert("RGB").save(tmp_path / "b.png")
    with pytest.raises(UsageError, match=r"b\.png has no class indexes: it is a RGB"):
        segmentation.read_labels(tmp_path / "b.png")


def test_a_mask_of_another_size_is_refused(mask):
    with pytest.raises(UsageError, match="2x1 and 3x2"):
        NETWORK.observe(labels([0, 0]), labels([0, 0]), mask)


def test_logits_are_resized_before_the_choice():
    logits = torch.tensor([[[[0.0, 4.0]], [[1.0, 1.0]]]])
    assert segmentation.label(logits, (1, 8)).tolist() == [[1, 1, 1, 0, 0, 0, 0, 0]]
