from __future__ import annotations

import pytest
import torch

from benchmarks import reference
from icmhcodec.codecs import registry
from icmhcodec.pipeline import latent
from icmhcodec.pipeline.area import area_of
from icmhcodec.pipeline.tensors import to_input
from tests.benchmarks.conftest import picture

HEIGHT, WIDTH = 64, 128


@pytest.mark.parametrize(("name", "quality"), [("mbt2018-mean-gain", 4.5), ("test-tiny", 6.0)])
@torch.no_grad()
def test_its_forward_agrees_with_the_codec(name, quality):
    codec, network = registry.load(name), reference.load(name, quality)
    units = round(quality * 256)
    x = to_input(picture(HEIGHT, WIDTH), torch.device("cpu"))
    y = codec.analysis(x)
    gained = y * codec.gains(units)[0][:, None, None]
    torch.testing.assert_close(network.g_a(x), gained, rtol=1e-4, atol=1e-3)
    z = codec.hyper_analysis(gained)
    torch.testing.assert_close(network.h_a(gained), z, rtol=1e-4, atol=1e-3)

    area = area_of(WIDTH, HEIGHT, (1, 1))
    quantised = latent.quantise(codec, y, area, units, 0)
    z_hat, _ = network.entropy_bottleneck(z)
    medians = codec.entropy.z_medians[:, None, None] / 256
    assert torch.equal(z_hat[0], quantised.z_symbols + medians)
    scale, mean = network.h_s(z_hat).chunk(2, 1)
    index = network.gaussian_conditional.build_indexes(scale)[0]
    moved = index != quantised.prior.index
    assert moved.float().mean() < 0.05
    assert (index - quantised.prior.index.int()).abs().max() <= 1
    torch.testing.assert_close(mean[0], quantised.prior.mean / 256, rtol=0.01, atol=0.05)

    values = codec, quantised.prior, quantised.symbols, area, units, area.region
    y_hat = latent.values_of(*values)
    decoded = network.g_s(y_hat * codec.gains(units)[0][:, None, None])
    unfolded = y_hat * codec.gains(units)[0][:, None, None] * codec.gains(units)[1][:, None, None]
    torch.testing.assert_close(decoded, codec.synthesis(unfolded), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_its_files_decode_and_have_the_size_of_its_likelihoods():
    network = reference.load("mbt2018-mean-gain", 4.5)
    x = to_input(picture(HEIGHT, WIDTH), torch.device("cpu"))
    code = network.compress(x)
    decoded = network.decompress(**code)["x_hat"]
    torch.testing.assert_close(decoded, network(x)["x_hat"].clamp(0, 1), rtol=0, atol=0.02)
    y = network.g_a(x)
    of_y, of_z = reference.likelihoods(network, y, network.h_a(y))
    bits = -sum(float(likelihoods.log2().sum()) for likelihoods in (of_y, of_z))
    coded = 8 * sum(len(strings[0]) for strings in code["strings"])
    assert bits < coded < 1.02 * bits + 64  # each of the two streams ends with a word of 32 bits
