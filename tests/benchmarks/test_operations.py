from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks import operations
from benchmarks.operations import Operations
from icmhcodec.adapters.kinds import create
from icmhcodec.codecs import registry


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (nn.Conv2d(3, 8, 5, 2, 2), 8 * 16 * 5 * 5 * 3 * 8),
        (nn.Conv2d(3, 3, 3, padding=1, groups=3), 16 * 32 * 9 * 3),
        (nn.ConvTranspose2d(3, 8, 5, 2, 2, 1), 16 * 32 * 5 * 5 * 3 * 8),
    ],
)
def test_convolutions(layer, macs):
    assert operations.count(layer, torch.zeros(1, 3, 16, 32)) == Operations(macs, 0)


def test_what_multiplies_nothing_costs_nothing():
    assert operations.count(torch.add, torch.zeros(3), 1) == operations.NOTHING


def test_ffts_are_counted_apart():
    x = torch.zeros(2, 5, 8, 16)
    flops = 2.5 * x.numel() * 7
    assert operations.count(torch.fft.rfft2, x) == Operations(0, flops)
    back = operations.count(lambda: torch.fft.irfft2(torch.fft.rfft2(x), s=(8, 16)))
    assert back == Operations(0, 2 * flops)


def test_an_adapter_costs_what_its_layers_do():
    channels, width, pixels = 16, 4, 32 * 32
    counted = operations.count(create("sfma", channels, width), torch.zeros(1, channels, 32, 32))
    sma = 2 * channels * width + 25 * width + channels * width
    spectrum = 32 * 17  # of 32 x 32 positions
    fma = 2 * channels * width * pixels + spectrum * (9 * width + width * width)
    assert counted.macs == sma * pixels + fma
    assert counted.fft_flops == 2 * 2.5 * width * pixels * 10


def test_a_whole_transform_is_counted_with_its_normalisations():
    codec = registry.load("test-tiny")
    small, large = (
        operations.count(codec.analysis, torch.zeros(1, 3, side, 64)).macs for side in (64, 128)
    )
    assert large == 2 * small > 0
    counted = Operations(2_000, 1_000).per_pixel(10)
    assert counted == {"kmac_per_pixel": 0.2, "fft_kflop_per_pixel": 0.1}
