import pytest
import torch

from icmhcodec import modelfile
from icmhcodec.codecs import prior, registry, test_tiny
from icmhcodec.errors import FormatError
from icmhcodec.training import network
from icmhcodec.training.optimisers import adam

from .conftest import tiny_network

PATH = registry.WEIGHTS / "test-tiny.safetensors"


def test_it_computes_what_the_exported_codec_does() -> None:
    codec, net = registry.load("test-tiny"), tiny_network()
    x = torch.rand(1, 3, 128, 64)
    with torch.no_grad():
        y = net.g_a(x)
        assert torch.allclose(y, codec.analysis(x), atol=1e-4, rtol=1e-4)
        gain, inverse = net.gains(torch.tensor([2.5]))
        own = codec.gains(640)
        assert torch.allclose(gain.flatten(), own[0])
        assert torch.allclose(inverse.flatten(), own[1])
        assert torch.allclose(
            net.h_a(y * gain), codec.hyper_analysis(y * gain), rtol=1e-3, atol=1e-3
        )
        assert torch.allclose(net.g_s(y), codec.synthesis(y), rtol=1e-3, atol=1e-3)


def test_its_prior_is_the_exported_one() -> None:
    net, tensors = tiny_network(), modelfile.read(PATH).tensors
    values = torch.linspace(-9, 9, 37).repeat(8, 1)
    mass = net.eb(values.reshape(1, 8, 1, 37))
    assert torch.allclose(mass[0, :, 0].double(), prior.mass(tensors, values), atol=1e-6)


def test_names_of_training_are_read_too() -> None:
    state = test_tiny.make_state()
    net = network.from_tensors(state | {"lam": torch.zeros(10)})
    assert torch.equal(net.state_dict()["g_a.0.weight"], state["g_a.0.weight"])
    assert set(net.state_dict()) == set(state)


@pytest.mark.parametrize("missing", ["gain", "eb.m.0", "g_a.0.weight", "h_s.4.bias"])
def test_other_tensors_are_refused(missing: str) -> None:
    state = {k: v for k, v in test_tiny.make_state().items() if k != missing}
    with pytest.raises(FormatError):
        network.from_tensors(state)
    with pytest.raises(FormatError):
        network.from_tensors({"a": torch.zeros(3)})


def test_noise_gives_about_the_bits_of_rounding_and_their_gradients() -> None:
    torch.manual_seed(0)
    net, quality = tiny_network(), torch.tensor([9.0, 9.0])
    x = torch.rand(2, 3, 64, 64)
    noise = tuple(torch.rand(shape) - 0.5 for shape in net.noise_shapes(2, 64))
    decoded, y_bpp, z_bpp = net(x, quality, (noise[0], noise[1]))
    hard = net(x, quality)
    assert torch.equal(decoded, hard[0])
    assert torch.allclose(y_bpp, hard[1], rtol=0.1)
    (y_bpp.sum() + z_bpp.sum() + decoded.square().sum()).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_skipped_elements_cost_nothing_and_stay_at_their_mean() -> None:
    net, x, quality = tiny_network(), torch.rand(1, 3, 64, 64), torch.tensor([4.0])
    with torch.no_grad():
        everything, nothing = net(x, quality, skip=0.0), net(x, quality, skip=1e9)
        some = net(x, quality, skip=network.skip_scale(20))
    assert nothing[1] == 0
    assert 0 < some[1] < everything[1]
    assert not torch.equal(nothing[0], everything[0])
    assert network.skip_scale(0) == 0


def test_medians_and_tails_follow_the_prior() -> None:
    torch.manual_seed(0)
    eb = network.FactorisedPrior(4)
    for _ in range(600):
        eb.follow(0.1)
    target = torch.logit(torch.tensor([5e-10, 0.5, 1 - 5e-10], dtype=torch.float64)).float()
    points = torch.stack([eb.tails[:, 0], eb.med, eb.tails[:, 1]], 1)
    with torch.no_grad():
        odds = eb.log_odds(points[:, None])[:, 0]
    assert torch.allclose(odds, target.expand(4, 3), atol=1.0)


def test_channels_of_a_normalisation_learn_what_they_are_to_each_other() -> None:
    torch.manual_seed(0)
    layer, x = network.GDN(6), torch.rand(4, 6, 9, 9)
    x[:, 1] = 3 * x[:, 0]
    between = ~torch.eye(6, dtype=torch.bool)
    target = x / (1 + x[:, :1] ** 2).sqrt()
    optimiser = adam(layer.parameters(), 1e-2)
    for _ in range(300):
        optimiser.zero_grad()
        (layer(x) - target).square().mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert float((layer.gamma.detach() ** 2)[between].max()) > 0.02


def test_what_has_gone_below_zero_can_come_back() -> None:
    layer, x = network.GDN(6), torch.rand(4, 6, 9, 9)
    with torch.no_grad():
        layer.gamma.fill_(-1.0)
    layer(x).square().mean().backward()  # smaller by a larger norm
    assert layer.gamma.grad is not None
    assert bool((layer.gamma.grad < 0).all())


def test_coupling_raises_and_never_lowers() -> None:
    net = tiny_network()
    before = {k: v.clone() for k, v in net.state_dict().items() if k.endswith("gamma")}
    net.couple(4e-4)
    for name, value in before.items():
        after = net.state_dict()[name]
        assert torch.equal(after, value.clamp_min((4e-4 + 2**-36) ** 0.5))
