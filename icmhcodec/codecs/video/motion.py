"""Motion of DVC: estimation by a pyramid of networks, warping, and the coder of flows.

SpyNet: Ranjan and Black 2017 (arXiv 1611.00850); DVC: Lu et al. 2019 (arXiv 1812.00101), with the
layers of its authors' later code. A flow is [B,2,H,W] in pixels, columns first: what a position
shows comes from the position plus the flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.codecs.video.layers import Conv, Deconv, NarrowConv

SPYNET_LEVELS = 4
SPYNET_WIDTHS = (8, 32, 64, 32, 16, 2)
LEAK = 0.1


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """Features [B,C,H,W] float32 shifted by a flow; beyond the border its last values go on.

    Corners are the centres of corner pixels (align_corners): a flow of 1 is one pixel everywhere.
    """
    height, width = x.shape[2:]
    columns = torch.arange(width, device=x.device) + flow[:, 0]
    rows = torch.arange(height, device=x.device)[:, None] + flow[:, 1]
    grid = torch.stack([columns * (2 / (width - 1)) - 1, rows * (2 / (height - 1)) - 1], 3)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=True)


class SpyNet(nn.Module):
    """A flow from the current frame to its reference, refined from level to level."""

    def __init__(self, levels: int = SPYNET_LEVELS, widths: tuple[int, ...] = SPYNET_WIDTHS):
        super().__init__()
        self.levels = nn.ModuleList(_refinement(widths) for _ in range(levels))

    def forward(self, current: Tensor, reference: Tensor) -> Tensor:
        """The flow [B,2,H,W] of frames [B,3,H,W]; sides are multiples of 2^levels, from 32 on."""
        return list(self.pyramid(current, reference))[-1][0]

    def pyramid(
        self, current: Tensor, reference: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Flow, current frame and reference at each level, the coarsest first."""
        frames = [torch.cat([current, reference])]
        for _ in range(len(self.levels) - 1):
            frames.append(F.avg_pool2d(frames[-1], 2))
        height, width = frames[-1].shape[2:]
        flow = current.new_zeros(len(current), 2, height // 2, width // 2)
        for level, both in zip(self.levels, reversed(frames), strict=True):
            now, before = both.chunk(2)
            flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
            features = torch.cat([now, warp(before, flow), flow], 1)
            flow = flow + level(features.to(next(level.parameters()).dtype)).float()
            yield flow, now, before


def _refinement(widths: tuple[int, ...]) -> nn.Sequential:
    convolutions = [Conv(inputs, outputs, 7) for inputs, outputs in pairwise(widths)]
    layers = [layer for conv in convolutions for layer in (conv, nn.ReLU(inplace=True))]
    return nn.Sequential(*layers[:-1])


def flow_analysis(width: int, M: int) -> list[nn.Module]:
    """A flow [B,2,H,W] to a latent [B,M,H/16,W/16]: eight convolutions."""
    sides = (2, *[width] * 7, M)
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sides)):
        layers += [Conv(inputs, outputs, 3, 2 - i % 2), nn.LeakyReLU(LEAK, inplace=True)]
    return layers[:-1]


def flow_synthesis(M: int, width: int) -> list[nn.Module]:
    """A latent [B,M,H/16,W/16] to features [B,width,H,W]; `flow_head` makes a flow of them."""
    layers: list[nn.Module] = []
    for stage in range(4):
        layers += [Deconv(width if stage else M, width, 3), nn.LeakyReLU(LEAK, inplace=True)]
        layers += [Conv(width, width, 3), nn.LeakyReLU(LEAK, inplace=True)] if stage < 3 else []
    return layers


def flow_head(width: int) -> NarrowConv:
    """The flow of features [B,width,H,W]."""
    return NarrowConv(width, 2, 3)
