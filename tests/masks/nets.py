"""Predictors that nobody trained, and what they look at."""

from __future__ import annotations

import torch
from torch import Tensor

from icmhcodec.masks import kinds
from icmhcodec.masks.light import LightNet
from icmhcodec.masks.predictor import INPUT_SIDE, ConditionTable, LogitNet

M, H, W = 12, 9, 7


def net(kind: str, seed: int = 0, input_side: int = INPUT_SIDE, channels: int = M) -> LogitNet:
    """A network of random weights, already rounded to float16 as an export rounds them."""
    torch.manual_seed(seed)
    result = kinds.create(kind, channels, input_side).requires_grad_(False)
    for module in result.modules():
        if isinstance(module, ConditionTable):
            for parameter in module.parameters():
                parameter.copy_(torch.randn(parameter.shape) * 0.5)
    if isinstance(result, LightNet):
        result.slope.copy_(torch.randn(channels) * 0.2)
    for parameter in result.parameters():
        if parameter.ndim == 4:
            parameter.copy_(parameter.half().float())
    return result


def inputs(seed: int, height: int = H, width: int = W) -> tuple[Tensor, Tensor]:
    """Integer means and scale indexes [M,h,w]."""
    generator = torch.Generator().manual_seed(seed)
    mean = (torch.randn(M, height, width, generator=generator) * 900).int()
    index = torch.randint(0, 64, (M, height, width), generator=generator)
    return mean, index.to(torch.uint8)
