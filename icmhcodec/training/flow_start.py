"""Where a coder of flows starts from: a block transform, which its convolutions can be exactly.

Sixteen layers need many thousand steps to find out how to pass a flow on. Here they begin as what
codecs have always done: flows at half the size, in blocks of 8x8, by the discrete cosine transform,
the lowest half of whose coefficients is the latent. A value v passes leaky rectifiers as two
channels, v and -v, whose difference is (1 + leak) v.
"""

from __future__ import annotations

import math
from itertools import product
from typing import cast

import torch
from torch import Tensor, nn

from icmhcodec.codecs.video.motion import LEAK

BLOCK = 8  # samples of a side, of flows at half the size
KEPT = 32  # coefficients of each of a flow's two components
LEAST = 4 * KEPT, 2 * KEPT  # channels inside of the coder and of its latent that this takes
NOISE = 0.02  # share of the start before it that is left, so that what is not used can learn
GAINS = 0.3, 4.0  # parts of a pixel that count at the lowest and at the highest quality
_SCALE, _SLOPE = 2.0, 1.5  # of coefficients' scales, and how they fall with the frequency

Kernel = Tensor  # [outputs, inputs, 3, 3] of values, before they are made pairs of channels


@torch.no_grad()
def start_as_transform(motion: nn.Module, head: nn.Conv2d) -> None:
    """Set analysis, synthesis, gains and scales of a coder of flows, and its flow head.

    It has at least LEAST channels.
    """
    g_a, g_s = (
        [m for m in part.children() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        for part in (cast(nn.Module, motion.g_a), cast(nn.Module, motion.g_s))
    )
    kernels = [_low_pass(), _same(2), _gathered(1), _same(8), _gathered(2), _same(32),
               _transform(), _same(2 * KEPT)]  # fmt: skip
    for number, (layer, kernel) in enumerate(zip(g_a, kernels, strict=True)):
        _set(layer, _paired(kernel, number > 0, number < len(g_a) - 1))
    kernels = [_inverse(), _same(32), _spread(2), _same(8), _spread(1), _same(2), _doubled()]
    for number, (layer, kernel) in enumerate(zip(g_s, kernels, strict=True)):
        _set(layer, _paired(kernel, number > 0, True))
    _set(head, _paired(_same(2), True, False))
    _set_scales(motion)


def _set_scales(motion: nn.Module) -> None:
    """Gains of the qualities, and the scales that a fresh hyper-decoder gives all latents."""
    gain, inverse = cast(Tensor, motion.gain), cast(Tensor, motion.igain)
    levels = torch.linspace(math.log(GAINS[0]), math.log(GAINS[1]), len(gain))
    gain.copy_(levels[:, None].expand_as(gain))
    inverse.copy_(-gain)
    bias = cast(Tensor, cast(nn.ModuleList, motion.h_s)[-1].bias)
    frequencies = torch.tensor([1.0 + u + v for u, v in _kept()])
    bias[: len(bias) // 2] = 0  # of what is not used: the least scale
    bias[: 2 * KEPT] = (_SCALE * frequencies**-_SLOPE).repeat(2)


def _set(layer: nn.Module, kernel: Kernel) -> None:
    """Make a layer what a kernel of channels says, with a little noise."""
    weight, bias = cast(Tensor, layer.weight), cast(Tensor, layer.bias)
    weight *= NOISE
    bias.zero_()
    if isinstance(layer, nn.ConvTranspose2d):
        kernel = kernel.transpose(0, 1)
    weight[: kernel.shape[0], : kernel.shape[1]] += kernel


def _paired(kernel: Kernel, inputs: bool, outputs: bool) -> Kernel:
    """A kernel of values as one of channels, where inputs or outputs are pairs of them."""
    if inputs:
        kernel = torch.stack([kernel, -kernel], 2).flatten(1, 2) / (1 + LEAK)
    return torch.stack([kernel, -kernel], 1).flatten(0, 1) if outputs else kernel


def _same(count: int) -> Kernel:
    kernel = torch.zeros(count, count, 3, 3)
    kernel[range(count), range(count), 1, 1] = 1
    return kernel


def _low_pass() -> Kernel:
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4
    return torch.eye(2)[..., None, None] * torch.outer(taps, taps)


def _doubled() -> Kernel:
    """Values between two others are their mean."""
    taps = torch.tensor([0.5, 1.0, 0.5])
    return torch.eye(2)[..., None, None] * torch.outer(taps, taps)


def _number(component: int, row: int, column: int, side: int) -> int:
    """Of a sample among those of blocks of a side."""
    return (component * side + row) * side + column


def _gathered(side: int) -> Kernel:
    """Four blocks of samples become one, of twice the side; taps 1 and 2 are its halves."""
    kernel = torch.zeros(2 * (2 * side) ** 2, 2 * side**2, 3, 3)
    for c, row, column in product(range(2), range(2 * side), range(2 * side)):
        own = _number(c, row, column, 2 * side)
        inner = _number(c, row % side, column % side, side)
        kernel[own, inner, 1 + row // side, 1 + column // side] = 1
    return kernel


def _spread(side: int) -> Kernel:
    """The way back, for a transposed convolution."""
    return _gathered(side).transpose(0, 1)


def _kept() -> list[tuple[int, int]]:
    """Frequencies of the coefficients that are kept, the lowest ones."""
    every = product(range(BLOCK), range(BLOCK))
    return sorted(every, key=lambda uv: (uv[0] ** 2 + uv[1] ** 2, uv))[:KEPT]


def _cosines() -> Tensor:
    """The orthonormal transform [frequency, sample]."""
    u, sample = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)
    rows: Tensor = torch.cos(math.pi / BLOCK * (sample + 0.5) * u) * (2 / BLOCK) ** 0.5
    rows[0] /= 2**0.5
    return rows


def _transform() -> Kernel:
    """Coefficients of four blocks of half the side."""
    cosines, side = _cosines(), BLOCK // 2
    kernel = torch.zeros(2 * KEPT, 2 * side**2, 3, 3)
    for c, (k, (u, v)) in product(range(2), enumerate(_kept())):
        for row, column in product(range(BLOCK), range(BLOCK)):
            inner = _number(c, row % side, column % side, side)
            taps = 1 + row // side, 1 + column // side
            kernel[c * KEPT + k, inner, taps[0], taps[1]] = cosines[u, row] * cosines[v, column]
    return kernel


def _inverse() -> Kernel:
    return _transform().transpose(0, 1)
