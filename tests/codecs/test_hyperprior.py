"""Hyperprior codecs against CompressAI's models, gains, and what bfloat16 and adapters change."""

import pytest
import torch
from torch import nn

from icmhcodec.codecs import registry
from icmhcodec.codecs.export import build_base
from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.entropy.model import MEAN_BITS
from icmhcodec.errors import UsageError
from tests.codecs.compressai_models import random_model, with_compressais_names


@pytest.fixture(scope="module")
def tiny():
    return registry.load("test-tiny")


@pytest.mark.parametrize("architecture", ["mean-scale", "scale"])
@torch.no_grad()
def test_equals_compressais_module(architecture):
    model = random_model(architecture)
    state = with_compressais_names(model.state_dict())
    codec = Hyperprior(build_base(state, "random", architecture, {}))
    x = torch.rand(1, 3, 128, 192)
    y = codec.analysis(x)
    torch.testing.assert_close(y, model.g_a(x), rtol=1e-5, atol=1e-4)
    y = model.g_a(x)
    z = model.h_a(y if architecture == "mean-scale" else y.abs())
    torch.testing.assert_close(codec.hyper_analysis(y), z, rtol=1e-5, atol=1e-5)
    y_hat = y.round()
    torch.testing.assert_close(codec.synthesis(y_hat), model.g_s(y_hat), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["mean-scale", "scale"])
@torch.no_grad()
def test_integer_stage_follows_compressais_hyper_decoder(architecture):
    model = random_model(architecture)
    state = with_compressais_names(model.state_dict())
    codec = Hyperprior(build_base(state, "random", architecture, {}))
    assert (codec.hyper_channels, codec.latent_channels) == (8, 12)
    z_symbols = torch.randint(-6, 7, (8, 3, 2), dtype=torch.int32)
    medians = codec.entropy.z_medians.double() / 2**MEAN_BITS
    z_hat = (z_symbols + medians[:, None, None]).float()[None]
    parameters = model.h_s(z_hat)[0]
    mean, index = codec.entropy.parameters(z_symbols)
    if architecture == "scale":
        assert not mean.any()
        scale = parameters
    else:
        scale, float_mean = parameters.chunk(2)
        torch.testing.assert_close(mean / 2**MEAN_BITS, float_mean, rtol=1e-3, atol=5e-3)
    model.update()
    wanted = model.gaussian_conditional.build_indexes(scale)
    assert index.shape == wanted.shape
    assert (index.int() - wanted).abs().max() <= 1
    assert (index.int() != wanted).float().mean() < 0.02


def test_gains_are_geometric_between_levels(tiny):
    assert tiny.levels == 10
    low, inverse = tiny.gains(4 * 256)
    high, _ = tiny.gains(5 * 256)
    between, _ = tiny.gains(4 * 256 + 128)
    torch.testing.assert_close(between, (low * high).sqrt())
    torch.testing.assert_close(low * inverse, torch.ones(12))
    assert (tiny.gains(9 * 256)[0] > high).all()
    assert (low > tiny.gains(0)[0]).all()


@pytest.mark.parametrize("quality", [-1, 9 * 256 + 1])
def test_qualities_outside_the_range_are_refused(tiny, quality):
    with pytest.raises(UsageError, match="between 0 and 9"):
        tiny.gains(quality)


def test_a_codec_of_one_rate_has_gain_one_at_every_quality():
    state = with_compressais_names(random_model("scale").state_dict())
    codec = Hyperprior(build_base(state, "random", "scale", {}))
    for quality in (0, 1000, 9 * 256):
        for gain in codec.gains(quality):
            assert torch.equal(gain, torch.ones(12))


@torch.no_grad()
def test_adapters_do_not_touch_the_frozen_codec(tiny):
    x = torch.rand(1, 3, 64, 64)
    y, picture = tiny.analysis(x), tiny.synthesis(tiny.analysis(x))
    scaled = [nn.Conv2d(c, c, 1) for c in tiny.decoder_channels]
    assert not torch.equal(tiny.synthesis(y, scaled), picture)
    assert torch.equal(tiny.analysis(x), y)
    assert torch.equal(tiny.synthesis(y, [None] * 3), picture)


@torch.no_grad()
def test_moving_to_bfloat16_and_back_restores_every_bit(tiny):
    x = torch.rand(1, 3, 64, 64)
    rounded = tiny.to("cpu", torch.bfloat16)
    assert rounded.fingerprint == tiny.fingerprint
    assert rounded.entropy is tiny.entropy
    assert not torch.equal(rounded.analysis(x), tiny.analysis(x))
    assert torch.equal(rounded.to("cpu", torch.float32).analysis(x), tiny.analysis(x))


@torch.no_grad()
def test_pictures_survive_the_tiny_codec_roughly(tiny):
    ramp = torch.linspace(0, 1, 256).expand(256, -1)
    x = torch.stack([ramp, ramp.T, 1 - ramp])
    gain, inverse = (g[:, None, None] for g in tiny.gains(9 * 256))
    latent = tiny.analysis(x[None]) * gain
    symbols = latent.round()
    assert len(symbols.unique()) > 20
    z = tiny.hyper_analysis(latent)
    assert 3 < z.abs().max() < 60
    middle = slice(64, 192)  # edges fade: the filters see zeros beyond them
    error = (tiny.synthesis(symbols * inverse) - x)[..., middle, middle].square().mean()
    assert -10 * torch.log10(error) > 18
