"""Transforms: equal to CompressAI's, and adapters leave no trace."""

from functools import partial

import pytest
import torch
from torch import nn

from icmhcodec.adapters.sfma import SFMA
from icmhcodec.codecs import transforms
from icmhcodec.entropy.regions import crop
from icmhcodec.errors import FormatError, UsageError
from tests.codecs.compressai_models import random_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def reference():
    return random_model("mean-scale")


@pytest.fixture(scope="module")
def tensors(reference):
    return reference.state_dict()


def g_a(tensors, dtype=torch.float32):
    return transforms.load_weights(transforms.analysis(8, 12), tensors, "g_a", CPU, dtype)


def g_s(tensors, dtype=torch.float32):
    return transforms.load_weights(transforms.synthesis(8, 12), tensors, "g_s", CPU, dtype)


class Add(nn.Module):
    def __init__(self, amount):
        super().__init__()
        self.amount, self.shape = amount, None

    def forward(self, x):
        self.shape = x.shape
        return x + self.amount


@torch.no_grad()
def test_analysis_and_synthesis_equal_compressais(reference, tensors):
    x = torch.rand(2, 3, 64, 128)
    y = reference.g_a(x)
    torch.testing.assert_close(g_a(tensors)(x), y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(g_s(tensors)(y), reference.g_s(y), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_adapters_plug_in_after_each_normalisation_and_leave_no_trace(tensors):
    x = torch.rand(1, 3, 64, 64)
    transform = g_a(tensors)
    before = transform(x)
    stored = {name: value.clone() for name, value in transform.state_dict().items()}
    adapters = [Add(0.5), None, Add(0.25)]
    adapted = transform(x, adapters)
    assert adapters[0].shape == (1, 8, 32, 32)
    assert adapters[2].shape == (1, 8, 8, 8)
    assert not torch.equal(adapted, before)
    assert torch.equal(transform(x, [Add(0.0)] * 3), before)
    assert torch.equal(transform(x), before)
    assert all(torch.equal(stored[k], v) for k, v in transform.state_dict().items())


@torch.no_grad()
def test_adapted_stage_is_the_one_between_the_layers(tensors):
    x = torch.rand(1, 3, 64, 64)
    transform = g_a(tensors)
    by_hand = x
    for i, layer in enumerate(transform):
        by_hand = layer(by_hand) + (0.5 if i == 3 else 0)
    adapted = transform(x, [None, Add(0.5), None])
    torch.testing.assert_close(adapted, by_hand, rtol=1e-5, atol=1e-5)


REGIONS = [
    ((0, 12), (0, 20)),
    ((3, 4), (7, 9)),
    ((5, 12), (0, 3)),
    ((0, 1), (19, 20)),
]


@torch.no_grad()
@pytest.mark.parametrize("region", REGIONS)
def test_a_part_is_that_of_the_whole(tensors, region):
    x = torch.rand(1, 3, 192, 320)
    adapters = filled_adapters()
    for stages in ((), adapters):
        whole = g_a(tensors)(x, stages)
        part = g_a(tensors).part(lambda r: crop(x, r), (192, 320), region, stages)
        torch.testing.assert_close(part, crop(whole, region), rtol=1e-5, atol=1e-5)
    y = torch.rand(1, 12, 12, 20) * 20
    pixels = tuple((16 * start + 5, 16 * end - 3) for start, end in region)
    for stages in ((), adapters):
        whole = g_s(tensors)(y, stages)
        needed = g_s(tensors).needed((12, 20), pixels, stages)
        only = torch.full_like(y, torch.nan)  # what is not needed is not looked at
        crop(only, needed).copy_(crop(y, needed))
        part = g_s(tensors).part(partial(crop, only), (12, 20), pixels, stages)
        torch.testing.assert_close(part, crop(whole, pixels), rtol=1e-5, atol=1e-5)


def filled_adapters():
    """Adapters with windows of a few features, so that each stage has several."""
    generator = torch.Generator().manual_seed(0)
    adapters = [SFMA(8, 4, window=8) for _ in range(3)]
    for adapter in adapters:
        for parameter in adapter.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return adapters


def test_the_synthesis_sees_two_positions_around(tensors):
    needed = g_s(tensors).needed((99, 99), ((160, 176), (320, 330)))
    assert needed == ((8, 13), (18, 23))


def test_gradients_reach_adapters_through_frozen_weights(tensors):
    transform = g_s(tensors)
    adapter = nn.Conv2d(8, 8, 1)
    transform(torch.rand(1, 12, 4, 4), [adapter, None, None]).sum().backward()
    assert adapter.weight.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in transform.parameters())


def test_wrong_number_of_adapters_is_refused(tensors):
    with pytest.raises(UsageError, match="2 adapters for 3 stages"):
        g_a(tensors)(torch.rand(1, 3, 64, 64), [None, None])


@torch.no_grad()
def test_bfloat16_is_close_and_gives_float32(tensors):
    x = torch.rand(1, 3, 64, 64)
    y, rounded = g_a(tensors)(x), g_a(tensors, torch.bfloat16)(x)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - y).abs().max() < 0.05 * y.abs().max()


def test_missing_and_misshapen_tensors_are_named(tensors):
    with pytest.raises(FormatError, match=r"g_a\.4\.bias"):
        g_a({k: v for k, v in tensors.items() if k != "g_a.4.bias"})
    with pytest.raises(FormatError, match=r"g_a.*6\.weight"):
        g_a(tensors | {"g_a.6.weight": torch.zeros(12, 8, 3, 3)})
