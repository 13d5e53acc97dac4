"""Cheng et al. 2020's anchor against CompressAI's, and through the container."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from icmhcodec import container, modelfile
from icmhcodec.adapters import bundles
from icmhcodec.adapters.sfma import SFMA
from icmhcodec.codecs import cheng2020, registry
from icmhcodec.codecs.cheng2020 import Cheng2020
from icmhcodec.codecs.export import build_base
from icmhcodec.entropy.model import MEAN_BITS
from icmhcodec.entropy.regions import crop
from icmhcodec.entropy.tables import scale_table
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.pipeline.codec import Codec
from icmhcodec.training.losses import gaussian_bits
from tests.codecs.compressai_models import random_model, with_compressais_names
from tests.pipeline import conftest
from tests.pipeline.conftest import photo, random_bundle
from tests.threads import one_thread  # noqa: F401

ID = "cheng2020-toy"


@pytest.fixture(scope="module")
def reference():
    return random_model("cheng2020-anchor")


@pytest.fixture(scope="module")
def state(reference):
    return with_compressais_names(reference.state_dict())


@pytest.fixture(scope="module")
def model(state):
    return build_base(state, ID, "cheng2020-anchor", {})


@pytest.fixture(scope="module")
def toy(model):
    return Cheng2020(model)


@torch.no_grad()
def parameters(reference, z):
    """CompressAI's scales and means [8,4h,4w] of a hyper-latent [8,h,w], its context all zeros."""
    height, width = z.shape[1:]
    context = reference.context_prediction(torch.zeros(1, 8, 4 * height, 4 * width))
    hyper = reference.h_s(z[None].float())
    return reference.entropy_parameters(torch.cat((hyper, context), 1))[0].chunk(2)


@torch.no_grad()
def test_transforms_equal_compressais(reference, toy):
    x = torch.rand(2, 3, 64, 192)
    y = reference.g_a(x)
    torch.testing.assert_close(toy.analysis(x), y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(toy.hyper_analysis(y), reference.h_a(y), rtol=1e-5, atol=1e-5)
    y_hat = y.round()
    torch.testing.assert_close(toy.synthesis(y_hat), reference.g_s(y_hat), rtol=1e-5, atol=1e-5)


def test_float_layers_are_compressais_with_an_empty_context(reference, state):
    x = torch.randn(8, 3, 2) * 4
    scales, means = parameters(reference, x)
    for layer in cheng2020.hyper_synthesis(state):
        x = layer(x)
    torch.testing.assert_close(x.float(), torch.cat((scales, means)), rtol=1e-5, atol=1e-5)


def test_integers_follow_the_floats_at_no_cost(reference, toy):
    torch.manual_seed(2)
    z_symbols = torch.randint(-20, 21, (8, 12, 12), dtype=torch.int32)
    mean, index = toy.entropy.parameters(z_symbols)
    medians = toy.entropy.z_medians / 2**MEAN_BITS
    scales, means = parameters(reference, z_symbols + medians[:, None, None])
    table = torch.tensor(scale_table())
    wanted = torch.bucketize(scales, table[:-1])
    assert wanted.unique().numel() > 20
    assert (index.int() - wanted).abs().max() <= 1
    assert (index.int() != wanted).float().mean() < 0.02
    assert (mean / 2**MEAN_BITS - means).abs().max() < 0.02
    # Latents as the floats expect them, coded by either.
    y = means + scales.clamp_min(table[0]) * torch.randn(means.shape)
    ours = gaussian_bits((y - mean / 2**MEAN_BITS).round(), table[index.long()]).mean()
    theirs = gaussian_bits((y - means).round(), table[wanted]).mean()
    assert theirs > 1
    assert ours.item() == pytest.approx(theirs.item(), rel=5e-4)


def filled_adapters():
    generator = torch.Generator().manual_seed(0)
    adapters = [SFMA(8, 4, window=8).requires_grad_(False) for _ in range(3)]
    for adapter in adapters:
        for parameter in adapter.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return adapters


REGIONS = [((0, 12), (0, 20)), ((3, 4), (7, 9)), ((5, 12), (0, 3)), ((0, 1), (19, 20))]


@torch.no_grad()
@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("region", REGIONS)
def test_a_part_is_that_of_the_whole(toy, region, adapted):
    stages = filled_adapters() if adapted else ()
    close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-5)
    x = torch.rand(1, 3, 192, 320)
    y = toy.analysis(x, stages)
    close(toy.analysis_part(partial(crop, x), (192, 320), region, stages), crop(y, region))
    half = tuple((start // 4, -(-end // 4)) for start, end in region)
    part = toy.hyper_analysis_part(partial(crop, y), (12, 20), half)
    close(part, crop(toy.hyper_analysis(y), half))
    pixels = tuple((16 * start + 5, 16 * end - 3) for start, end in region)
    needed = toy.synthesis_needs((12, 20), pixels, stages)
    only = torch.full_like(y, torch.nan)  # what is not needed is not looked at
    crop(only, needed).copy_(crop(y, needed))
    part = toy.synthesis_part(partial(crop, only), (12, 20), pixels, stages)
    close(part, crop(toy.synthesis(y, stages), pixels))


@torch.no_grad()
def test_adapters_follow_the_ends_of_stages(toy):
    places = []

    def spy(x, origin=None):
        places.append(tuple(x.shape))
        return x

    stages = [spy] * 3
    y = toy.analysis(torch.rand(1, 3, 64, 64), stages)
    toy.synthesis(y, stages)
    assert places[:3] == [(1, 8, 32, 32), (1, 8, 16, 16), (1, 8, 8, 8)]
    assert places[3:] == [(1, 8, 8, 8), (1, 8, 16, 16), (1, 8, 32, 32)]
    assert toy.encoder_channels == toy.decoder_channels == (8, 8, 8)


def test_gradients_pass_the_frozen_blocks(toy):
    y = torch.rand(1, 8, 4, 4, requires_grad=True)
    toy.synthesis(y).sum().backward()
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    toy.analysis(x).sum().backward()
    assert y.grad.abs().min() > 0
    assert x.grad.abs().sum() > 0


@torch.no_grad()
def test_moving_to_bfloat16_and_back_restores_every_bit(toy):
    x = torch.rand(1, 3, 64, 64)
    rounded = toy.to("cpu", torch.bfloat16)
    assert isinstance(rounded, Cheng2020)
    assert 0 < (rounded.analysis(x) - toy.analysis(x)).abs().max() < 0.5
    assert torch.equal(rounded.to("cpu", torch.float32).analysis(x), toy.analysis(x))


@pytest.mark.parametrize(
    "name", ["g_a.0.skip.weight", "h_s.6.0.weight", "context_prediction.bias", "g_s.7.0.bias"]
)
def test_missing_tensors_are_named(state, name):
    with pytest.raises(FormatError, match=name.replace(".", r"\.")):
        build_base({k: v for k, v in state.items() if k != name}, ID, "cheng2020-anchor", {})


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("h_s.8.weight", lambda weight: 6e4 * weight.sign(), "too large"),
        ("entropy_parameters.2.bias", lambda bias: 1e20 + bias, "too large"),
        ("context_prediction.bias", lambda bias: bias.repeat(3), "context of 48"),
        ("h_s.4.weight", lambda weight: weight[:, :-1], "does not fit"),
    ],
)
def test_weights_that_do_not_fit_are_refused(state, name, change, error):
    changed = state | {name: change(state[name])}
    with pytest.raises((FormatError, UsageError), match=error):
        build_base(changed, ID, "cheng2020-anchor", {})


@pytest.fixture
def installed(model, tmp_path, monkeypatch):
    """The toy codec in a user's data folder, with random bundles of both profiles."""
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(conftest, "BASE", ID)
    modelfile.write(tmp_path / "base.safetensors", model)
    registry.add(tmp_path / "base.safetensors")
    for seed, (task, profile) in enumerate([("det", "scalable"), ("cls", "machine")]):
        for bundle in random_bundle(task, seed, profile):
            path = tmp_path / f"{task}-{bundle.kind}.safetensors"
            modelfile.write(path, bundle)
            bundles.add(path)


PICTURE = photo(150, 220)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "options",
    [{}, {"tasks": ["det:2"]}, {"tasks": ["cls"], "profile": "machine", "with_human": True}],
)
def test_files_hold_the_same_symbols_everywhere(options):
    codec = Codec(ID, precision="float32")
    human = {"human": True} if options else {}
    for tile in (0, 64):
        encoded = Codec(ID, precision="bfloat16", threads=2).encode(PICTURE, tile=tile, **options)
        data = encoded.data
        found = [
            Codec(ID, precision=precision, threads=threads).symbols(data)
            for precision, threads in (("float32", 1), ("bfloat16", 2))
        ]
        assert len(found[0]) == len(found[1]) > 0
        assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
        assert codec.verify(data, full=True) == []
        whole = codec.decode(data, **human).picture.pixels
        assert whole.shape == PICTURE.shape
        x, y, width, height = 70, 60, 100, 80
        part = codec.decode(data, crop=(x, y, width, height), **human).picture.pixels
        assert np.abs(whole[y : y + height, x : x + width].astype(int) - part).max() <= 1
    header = container.parse(data).header
    assert {group.codec.id for group in header.groups} == {ID}
    assert sum(layer.symbols for layer in header.layers) > 1000


@pytest.mark.usefixtures("installed")
def test_layers_split_and_join():
    codec = Codec(ID)
    plain = codec.encode(PICTURE).data
    data = codec.encode(PICTURE, tasks=["det"]).data
    part, rest = container.split(data, ["det"]), container.rest(data, ["det"])
    assert container.join([part, rest]) == data
    whole = codec.decode(data, task="det").picture.pixels
    assert np.array_equal(codec.decode(part, task="det").picture.pixels, whole)
    human = codec.decode(data).picture.pixels
    assert np.array_equal(human, codec.decode(plain).picture.pixels)
    assert not np.array_equal(human, whole)


def test_the_toy_file_says_what_it_is(model, tmp_path: Path):
    assert model.metadata["architecture"] == "cheng2020-anchor"
    kernels = {v.dtype for k, v in model.tensors.items() if k[:4] == "g_a." and v.ndim == 4}
    assert kernels == {torch.float16}
    assert not any("context" in name or "reparam" in name for name in model.tensors)
