"""Rate of symbols, and distortion of a recognition network's features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

LEVEL = 2  # the default one, for which lambdas are given


def task_lambda(
    quality: Tensor, level: Tensor, lambdas: Sequence[float], per_level: float
) -> Tensor:
    """Weight of the distortion for qualities [B] in [0,9] and levels [B] from 1.

    `lambdas` are those of the lowest and the highest quality at the default level; between them it
    rises geometrically, as the base codec's does, and by `per_level` from level to level.
    """
    low, high = (math.log(value) for value in lambdas)
    rise = quality / 9 * (high - low) + (level - LEVEL) * math.log(per_level)
    return torch.exp(low + rise)


class _LowerBound(torch.autograd.Function):
    """max(x, bound) whose gradient still lets x rise (CompressAI's)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (x,) = ctx.saved_tensors
        return gradients[0] * ((x >= ctx.bound) | (gradients[0] < 0)), None


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """max(x, bound), below which gradients pass only upwards."""
    bounded: Tensor = _LowerBound.apply(x, bound)  # type: ignore[no-untyped-call]
    return bounded


def gaussian_bits(values: Tensor, scales: Tensor) -> Tensor:
    """Bits of unit intervals around values under zero-mean Gaussians of the scales, elementwise.

    Where float32 no longer holds the probability, its asymptote goes on, so that gradients do.
    """
    magnitude, root = values.abs().float(), -(2**-0.5)
    upper = torch.erfc(root * (0.5 - magnitude) / scales)
    mass = 0.5 * (upper - torch.erfc(root * (-0.5 - magnitude) / scales))
    near = -torch.log2(mass.clamp_min(1e-9))
    tail = (magnitude - 0.5).clamp_min(0) / scales
    far = 0.5 * tail * tail + torch.log(tail.clamp_min(1.0)) + 0.5 * math.log(2 * math.pi)
    return torch.where(mass > 1e-7, near, far / math.log(2))


def feature_distortion(
    decoded: Sequence[Tensor], original: Sequence[Tensor], weights: Sequence[float] = (1.0,)
) -> Tensor:
    """Mean over levels of the squared feature error, each over its original's mean square; [B].

    The normalisation makes one lambda mean the same for every network (Adapt-ICMH, eq. 5, has the
    plain mean square). The last of the levels' weights holds for all that follow.
    """
    weight = [weights[min(i, len(weights) - 1)] for i in range(len(original))]
    terms = [
        w * (d - o).float().pow(2).flatten(1).mean(1) / o.float().pow(2).mean()
        for w, d, o in zip(weight, decoded, original, strict=True)
        if w
    ]
    return torch.stack(terms).sum(0) / sum(weight)
