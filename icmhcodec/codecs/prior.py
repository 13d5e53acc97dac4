"""The factorised prior of the hyper-latent, from CompressAI's EntropyBottleneck tensors.

Ballé et al. 2018 (arXiv 1802.01436), appendix 6.1: a cumulative per channel, made of small
matrices. It is evaluated in float64 when tables are made, and never when coding.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

PREFIX = "entropy_bottleneck."


def medians(tensors: Mapping[str, Tensor]) -> Tensor:
    """Median [N] of each channel, float64."""
    return tensors[f"{PREFIX}quantiles"][:, 0, 1].double()


def log_odds(tensors: Mapping[str, Tensor], values: Tensor) -> Tensor:
    """Log-odds of the cumulative, float64 [N,n], at values [N,n]."""
    logits = values.double()[:, None]
    layer = 0
    while (matrix := tensors.get(f"{PREFIX}_matrix{layer}")) is not None:
        logits = F.softplus(matrix.double()) @ logits + tensors[f"{PREFIX}_bias{layer}"].double()
        factor = tensors.get(f"{PREFIX}_factor{layer}")
        if factor is not None:
            logits = logits + factor.double().tanh() * logits.tanh()
        layer += 1
    return logits[:, 0]


def mass(tensors: Mapping[str, Tensor], values: Tensor) -> Tensor:
    """Probability, float64 [N,n], of the unit intervals around values [N,n]."""
    lower, upper = log_odds(tensors, values - 0.5), log_odds(tensors, values + 0.5)
    sign = -torch.sign(lower + upper)  # the side on which the sigmoid does not saturate
    return (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()
