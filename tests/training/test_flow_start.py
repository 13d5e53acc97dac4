from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from icmhcodec.training import flow_start, video_network


@pytest.fixture(scope="module")
def net() -> video_network.DVCNetwork:
    torch.manual_seed(0)
    inner, M = flow_start.LEAST
    sizes = video_network.Sizes((8, M), (8, 12), inner, 8, (8, 8, 2))
    network = video_network.DVCNetwork(sizes)
    video_network.enliven(network)
    return network.requires_grad_(False)


def smooth(seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    return 3 * F.interpolate(torch.randn(2, 2, 6, 6), size=(64, 64), mode="bicubic")


def test_a_smooth_flow_passes_a_fresh_coder(net: video_network.DVCNetwork) -> None:
    flow = smooth()
    back = net.flow_head(net.motion.g_s(net.motion.g_a(flow)))
    inside = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    missed = (back - flow)[inside].square().mean()
    assert missed < 0.02 * flow[inside].square().mean()


def test_low_frequencies_hold_a_smooth_flow(net: video_network.DVCNetwork) -> None:
    y = net.motion.g_a(smooth()).square().mean((0, 2, 3))
    horizontal = y[: flow_start.KEPT]
    assert horizontal[:8].sum() > 10 * horizontal[8:].sum()


@pytest.mark.parametrize("quality", [0.0, 9.0])
def test_finer_steps_pass_more_of_it(net: video_network.DVCNetwork, quality: float) -> None:
    flow = smooth()
    missed = []
    for q in (quality, 4.0):
        decoded, _, _ = net.motion(flow, torch.tensor([q, q]))
        missed.append((net.flow_head(decoded) - flow).square().mean().item())
    assert (missed[0] < missed[1]) == (quality > 4)
    assert max(missed) < 0.5


def test_no_motion_costs_next_to_nothing(net: video_network.DVCNetwork) -> None:
    """But for the hyper-latent, whose prior is learnt."""
    _, bpp, _ = net.motion(torch.zeros(1, 2, 64, 64), torch.tensor([0.0]))
    assert bpp.max() < 0.1
