"""Deformable convolution against a slow loop, and against torchvision where it works."""

import math

import pytest
import torch
import torch.nn.functional as F

from icmhcodec.codecs.video.deform import deformable_convolution

GROUPS = 2


def slowly(x, offsets, weight):
    """One multiplication after the other."""
    _, channels, height, width = x.shape
    kernel, per_group = weight.shape[2], channels // GROUPS
    out = torch.zeros(1, len(weight), height, width, dtype=torch.float64)

    def value(channel, row, column):
        inside = 0 <= row < height and 0 <= column < width
        return float(x[0, channel, row, column]) if inside else 0.0

    for i in range(height):
        for j in range(width):
            for tap in range(kernel * kernel):
                for channel in range(channels):
                    group = channel // per_group
                    place = 2 * (group * kernel * kernel + tap)
                    row = i - kernel // 2 + tap // kernel + float(offsets[0, place, i, j])
                    column = j - kernel // 2 + tap % kernel + float(offsets[0, place + 1, i, j])
                    top, left = math.floor(row), math.floor(column)
                    a, b = row - top, column - left
                    sampled = (
                        (1 - a) * (1 - b) * value(channel, top, left)
                        + (1 - a) * b * value(channel, top, left + 1)
                        + a * (1 - b) * value(channel, top + 1, left)
                        + a * b * value(channel, top + 1, left + 1)
                    )
                    taps = weight[:, channel, tap // kernel, tap % kernel].double()
                    out[0, :, i, j] += taps * sampled
    return out.float()


@pytest.fixture
def case():
    torch.manual_seed(0)
    x, weight = torch.randn(1, 4, 5, 6), torch.randn(3, 4, 3, 3)
    return x, torch.randn(1, 2 * GROUPS * 9, 5, 6) * 2.5, weight  # many lead outside


def test_equals_a_slow_loop(case):
    torch.testing.assert_close(
        deformable_convolution(*case, GROUPS), slowly(*case), rtol=1e-4, atol=1e-4
    )


def test_equals_torchvisions(case):
    ops = pytest.importorskip("torchvision.ops", exc_type=(ImportError, RuntimeError))
    x, offsets, weight = case
    try:
        wanted = ops.deform_conv2d(x, offsets, weight, padding=1)
    except (RuntimeError, NotImplementedError) as error:
        pytest.skip(f"torchvision's operators are not built for this torch: {error}")
    torch.testing.assert_close(
        deformable_convolution(x, offsets, weight, GROUPS), wanted, rtol=1e-4, atol=1e-4
    )


def test_without_offsets_it_is_a_convolution(case):
    x, offsets, weight = case
    torch.testing.assert_close(
        deformable_convolution(x, torch.zeros_like(offsets), weight, GROUPS),
        F.conv2d(x, weight, padding=1),
        rtol=1e-4,
        atol=1e-4,
    )


def test_gradients_reach_the_offsets(case):
    x, offsets, weight = case
    offsets = offsets.requires_grad_()
    deformable_convolution(x, offsets, weight, GROUPS).sum().backward()
    assert offsets.grad.abs().sum() > 0
