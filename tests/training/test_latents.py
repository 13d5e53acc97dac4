import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.adapters.kinds import stage_adapters
from icmhcodec.codecs import registry, weights
from icmhcodec.codecs.architectures import ARCHITECTURES
from icmhcodec.entropy.integers import Kind
from icmhcodec.entropy.model import MEAN_BITS, EntropyModel, export_entropy_model
from icmhcodec.errors import UsageError
from icmhcodec.training import latents
from icmhcodec.training.evaluate import code_length
from icmhcodec.training.latents import Coder, HyperAdapters, HyperTwin


@pytest.fixture(scope="module")
def coder() -> Coder:
    return Coder(registry.load("test-tiny"))


@pytest.fixture
def x() -> Tensor:
    return torch.rand(2, 3, 128, 192, generator=torch.Generator().manual_seed(0))


QUALITY = torch.tensor([2.0, 7.5])


def test_the_twin_gives_what_the_integers_do(coder: Coder) -> None:
    entropy = coder.codec.entropy
    z = torch.randint(-30, 31, (entropy.hyper_channels, 3, 2)).int()
    mean, index = entropy.parameters(z)
    medians = entropy.z_medians[:, None, None] * 2.0**-MEAN_BITS
    scale, own = coder.twin((z + medians)[None])
    assert (own[0] - mean * 2.0**-MEAN_BITS).abs().max() < 0.02
    moved = torch.bucketize(scale[0], latents.SCALE_TABLE[:-1]) - index.int()
    assert moved.abs().max() <= 1
    assert (moved != 0).float().mean() < 0.05


def test_the_twin_is_that_of_the_codecs_file(coder: Coder) -> None:
    path = registry.WEIGHTS / "test-tiny.safetensors"
    state = weights.float_hyper_synthesis(modelfile.read(path).tensors)
    layers = ARCHITECTURES["mean-scale"].layers(state)
    z = torch.randn(8, 2, 3, dtype=torch.float64) * 20
    expected = z
    for layer in layers:
        expected = layer(expected)
    scale, mean = coder.twin(z.float()[None])
    torch.testing.assert_close(torch.cat([scale, mean], 1)[0].double(), expected, rtol=1e-3,
                               atol=1e-3)  # fmt: skip


def test_the_twin_knows_every_kind_of_layer() -> None:
    """Sub-pixel convolutions, as cheng2020's h_s has them, give what their integers give."""
    from icmhcodec.entropy.integers import Activation, FloatLayer

    torch.manual_seed(0)

    def layer(inputs: int, outputs: int, kind: Kind, after: Activation) -> FloatLayer:
        weight = torch.randn(outputs, inputs, 3, 3) * 0.2
        return FloatLayer(weight, torch.randn(outputs), 0, kind, after)

    layers = [
        layer(2, 12, Kind.SUBPIXEL, Activation.LEAKY),
        layer(3, 16, Kind.SUBPIXEL, Activation.RELU),
        layer(4, 6, Kind.CONV, Activation.NONE),
    ]
    mass = lambda values: torch.exp(-values.abs()) / 2  # noqa: E731
    entropy = EntropyModel.from_tensors(export_entropy_model(layers, mass, torch.zeros(2)))
    twin, z = HyperTwin(entropy), torch.randint(-5, 6, (2, 3, 4)).int()
    assert twin.hidden == (3, 4)
    mean, _ = entropy.parameters(z)
    scale, own = twin(z.float()[None])
    assert scale.shape == own.shape == (1, 3, 12, 16)
    assert (own[0] - mean * 2.0**-MEAN_BITS).abs().max() < 0.05


def test_the_estimate_is_near_what_is_coded(coder: Coder, x: Tensor) -> None:
    exact = coder.exact(x, QUALITY)
    estimate = coder.estimate(x, QUALITY, noisy=False)
    assert (estimate.symbols != exact.symbols).float().mean() < 0.01
    assert exact.integer_mean is not None
    assert torch.equal(exact.mean, exact.integer_mean * 2.0**-MEAN_BITS)
    for own, other in ((estimate.bits, exact.bits), (estimate.side_bits, exact.side_bits)):
        torch.testing.assert_close(own.sum(), other.sum(), rtol=1e-3, atol=0.0)
    picture = coder.codec.synthesis(exact.values(exact.coded))
    other = coder.codec.synthesis(estimate.values(estimate.coded))
    assert (picture - other).abs().mean() < 1e-2


def test_bits_are_those_of_the_coders_tables(x: Tensor) -> None:
    smooth = F.interpolate(x[:1, :, ::32, ::32], size=(64, 64), mode="bicubic").clamp(0, 1)
    codec = registry.load("mbt2018-mean-gain")
    exact = Coder(codec).exact(smooth, torch.tensor([5.0]))
    assert exact.symbols.abs().max() > 5
    coded = code_length(
        exact.symbols.flatten().int(), exact.index.flatten(), codec.entropy.y_tables
    )
    assert float(exact.bits.sum()) == pytest.approx(coded, rel=0.01)


def test_gradients_reach_adapters_through_rate_and_picture(coder: Coder, x: Tensor) -> None:
    codec = coder.codec
    for term in ("bits", "side_bits", "symbols"):
        encoder = stage_adapters(codec.encoder_channels, 4)
        latent = coder.estimate(x, QUALITY, [*encoder])
        getattr(latent, term).square().sum().backward()
        assert all(stage.sma.up.weight.grad.abs().sum() > 0 for stage in encoder), term


def test_nothing_is_kept_for_gradients_where_nothing_learns(coder: Coder, x: Tensor) -> None:
    latent = coder.estimate(x, QUALITY)
    assert not latent.bits.requires_grad
    assert not latent.symbols.requires_grad


def test_adapters_of_the_hyper_path_start_as_nothing_and_learn(coder: Coder, x: Tensor) -> None:
    analysis = stage_adapters(latents.hyper_places(coder.codec)[1], 4)
    synthesis = stage_adapters(coder.twin.hidden, 4)
    hyper = HyperAdapters([*analysis], [*synthesis])
    plain = coder.estimate(x, QUALITY, noisy=False)
    adapted = coder.estimate(x, QUALITY, (), hyper, noisy=False)
    torch.testing.assert_close(adapted.bits, plain.bits)
    adapted.bits.sum().backward()
    assert all(stage.sma.up.weight.grad.abs().sum() > 0 for stage in (*analysis, *synthesis))


def test_a_codec_whose_file_is_gone_is_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = registry.load("test-tiny")
    monkeypatch.setattr(codec, "id", "gone-1")
    with pytest.raises(UsageError, match="gone-1: its weights file is not here"):
        Coder(codec)
