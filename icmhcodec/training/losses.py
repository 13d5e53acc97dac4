"""Rate of masked symbols and distortion of a recognition network's features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LAMBDA = 1.8  # of the lowest level at quality 4
LAMBDA_PER_LEVEL = 2.0
LAMBDA_PER_QUALITY = 2.0**0.25


def task_lambda(level: Tensor, quality: Tensor) -> Tensor:
    """Weight of the distortion for levels [B] from 1 and qualities [B] in [0,9].

    It rises with the quality as the base codec's does, though more slowly: a network's accuracy
    saturates before a person's eye does.
    """
    rise = (level - 1) * math.log(LAMBDA_PER_LEVEL) + (quality - 4) * math.log(LAMBDA_PER_QUALITY)
    return LAMBDA * torch.exp(rise)


def gaussian_bits(symbols: Tensor, scales: Tensor) -> Tensor:
    """Bits of integer symbols under zero-mean Gaussians of the given scales, elementwise."""
    magnitude = symbols.abs().float()
    upper = torch.special.ndtr((0.5 - magnitude) / scales)
    lower = torch.special.ndtr((-0.5 - magnitude) / scales)
    return -torch.log2((upper - lower).clamp_min(1e-9))


def feature_distortion(decoded: Sequence[Tensor], original: Sequence[Tensor]) -> Tensor:
    """Mean over levels of the squared feature error, each over its original's mean square; [B].

    The normalisation makes one lambda mean the same for every network (Adapt-ICMH, eq. 5, has the
    plain mean square).
    """
    terms = [
        (d - o).float().pow(2).flatten(1).mean(1) / o.float().pow(2).mean()
        for d, o in zip(decoded, original, strict=True)
    ]
    return torch.stack(terms).mean(0)
