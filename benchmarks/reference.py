"""What CompressAI's own model makes of a latent: its float likelihoods, to compare bits with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from icmhcodec.bench.codecs.compressai import build, load

__all__ = ["build", "likelihoods", "load"]


@torch.no_grad()
def likelihoods(network: Any, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """The model's own likelihoods of what it would code for a latent y and hyper-latent z, floats.

    Shapes are those of y [1,M,H,W] and z [1,N,h,w]; eval mode: rounding, no noise.
    """
    z_hat, of_z = network.entropy_bottleneck(z)
    scale, mean = network.h_s(z_hat).chunk(2, 1)
    _, of_y = network.gaussian_conditional(y, scale, means=mean)
    return of_y, of_z
