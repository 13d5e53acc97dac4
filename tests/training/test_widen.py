from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from icmhcodec.errors import UsageError
from icmhcodec.training import network, photos, widen
from icmhcodec.training.network import Network
from icmhcodec.training.photos import Crops

from .conftest import crops_of, tiny_network

OLD, NEW = 12, 16


def _pictures(crops: Crops) -> Tensor:
    return photos.to_input(torch.cat([crops[step] for step in range(900, 910)]), "cpu")


@torch.no_grad()
def _unquantised_error(net: Network, x: Tensor) -> float:
    gain, inverse = net.gains(torch.full((len(x),), 9.0))
    return float((net.g_s(net.g_a(x) * gain * inverse) - x).square().mean())


@torch.no_grad()
def test_nothing_changes_before_the_synthesis_learns(folder: Path) -> None:
    net, crops = tiny_network(), crops_of(folder)
    wide = widen.widen(net, NEW, crops, samples=60, steps=0)
    x, quality = _pictures(crops), torch.linspace(0, 9, 20)
    assert (wide.latent_channels, net.latent_channels) == (NEW, OLD)
    assert torch.equal(net.g_a(x), wide.g_a(x)[:, :OLD])
    before, after = net(x, quality), wide(x, quality)
    assert torch.allclose(before[0], after[0], atol=1e-5)
    assert torch.allclose(before[2], after[2], atol=1e-5)  # the hyper-latent is the same
    assert all(parameter.requires_grad for parameter in wide.parameters())


def test_the_new_channels_bring_back_what_was_lost(folder: Path) -> None:
    net, crops = tiny_network(), crops_of(folder)
    x = _pictures(crops)
    wide = widen.widen(net, NEW, crops, samples=60, steps=60)
    assert _unquantised_error(wide, x) < 0.97 * _unquantised_error(net, x)
    kept = widen.widen(net, NEW, crops, samples=60, steps=0)
    for name, value in kept.state_dict().items():
        if name != "g_s.0.weight":
            assert torch.equal(value, wide.state_dict()[name]), name


@torch.no_grad()
def test_scales_are_those_of_the_new_channels(folder: Path) -> None:
    net, crops = tiny_network(), crops_of(folder)
    wide = widen.widen(net, NEW, crops, samples=60, steps=0)
    x = _pictures(crops)
    gain, _ = wide.gains(torch.full((len(x),), 9.0))
    y = wide.g_a(x) * gain
    median = wide.eb.med[None, :, None, None]
    scale, mean = wide.h_s(torch.round(wide.h_a(y) - median) + median).chunk(2, 1)
    assert float(mean[:, OLD:].abs().max()) == 0
    told, true = scale[:, OLD:].mean((0, 2, 3)), y[:, OLD:].square().mean((0, 2, 3)).sqrt()
    assert torch.all((told / true > 0.5) & (told / true < 2)), told / true


def test_a_wider_codec_is_read_back(folder: Path) -> None:
    wide = widen.widen(tiny_network(), NEW, crops_of(folder), samples=60, steps=0)
    again = network.from_tensors(wide.state_dict())
    assert again.latent_channels == NEW
    assert again.h_s[0].out_channels == OLD  # inside of h_s nothing grows


@pytest.mark.parametrize(
    ("channels", "samples", "message"),
    [(OLD, 60, "has 12 channels"), (NEW, 2, "too few to widen")],
)
def test_what_cannot_be_done_is_refused(
    folder: Path, channels: int, samples: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        widen.widen(tiny_network(), channels, crops_of(folder), samples=samples, steps=0)
