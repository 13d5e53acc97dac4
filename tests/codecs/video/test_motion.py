"""Warping and the pyramid of networks."""

import pytest
import torch

from icmhcodec.codecs.video.motion import SpyNet, flow_analysis, flow_synthesis, warp


def test_a_flow_of_whole_pixels_moves_by_whole_pixels():
    x = torch.rand(2, 3, 8, 12)
    flow = torch.zeros(2, 2, 8, 12)
    flow[:, 0], flow[:, 1] = 3, -2
    moved = warp(x, flow)
    torch.testing.assert_close(moved[:, :, 2:, :-3], x[:, :, :-2, 3:], atol=1e-5, rtol=0)


def test_beyond_the_border_the_last_values_go_on():
    x = torch.rand(1, 1, 8, 8)
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = 100
    torch.testing.assert_close(warp(x, flow), x[..., -1:].expand(1, 1, 8, 8), atol=1e-5, rtol=0)


@pytest.mark.parametrize("flow", [0.25, 0.5])
def test_between_pixels_it_interpolates(flow):
    x = torch.arange(16.0).expand(1, 1, 4, 16)
    moved = warp(x, torch.full((1, 2, 4, 16), flow))
    torch.testing.assert_close(moved[..., :-1], x[..., :-1] + flow, atol=1e-4, rtol=0)


@torch.no_grad()
def test_every_level_doubles_and_refines():
    net = SpyNet()
    for parameter in net.parameters():
        parameter.zero_()
    for level, network in enumerate(net.levels):
        network[-1].bias[0] = level + 1
    x = torch.rand(1, 3, 64, 128)
    shapes, flows = [], []
    for flow, now, before in net.pyramid(x, x):
        shapes.append(tuple(flow.shape[2:]))
        assert now.shape == before.shape
        flows.append(flow[0, 0, 0, 0].item())
    assert shapes == [(8, 16), (16, 32), (32, 64), (64, 128)]
    assert flows == [1, 4, 11, 26]  # each is twice the one before it, and its own
    assert sum(p.numel() for p in net.levels[0].parameters()) == 240_050


def test_strides_are_sixteen_both_ways():
    y = torch.nn.Sequential(*flow_analysis(4, 6))(torch.rand(1, 2, 64, 128))
    assert y.shape == (1, 6, 4, 8)
    assert torch.nn.Sequential(*flow_synthesis(6, 4))(y).shape == (1, 4, 64, 128)
