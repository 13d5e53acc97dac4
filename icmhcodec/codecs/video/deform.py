"""Deformable convolution, version 1, in plain torch (Dai et al. 2017, arXiv 1703.06211)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def deformable_convolution(x: Tensor, offsets: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Features [B,O,H,W] of x [B,C,H,W] and a kernel [O,C,k,k], zero outside of x.

    Offsets [B,2*groups*k*k,H,W] are float32 in positions, rows before columns for each tap of the
    kernel, taps row by row for each group of channels.
    """
    batch, channels, height, width = x.shape
    kernel = weight.shape[2]
    shifts = offsets.reshape(batch * groups, kernel * kernel, 2, height, width)
    parts = x.reshape(batch * groups, channels // groups, height, width)
    rows = torch.arange(height, device=x.device)[:, None] - kernel // 2
    columns = torch.arange(width, device=x.device) - kernel // 2
    total = x.new_zeros(batch, len(weight), height, width)
    for tap in range(kernel * kernel):
        row = rows + tap // kernel + shifts[:, tap, 0]
        column = columns + tap % kernel + shifts[:, tap, 1]
        # Pixels are unit squares here: the same positions, and no side of one divides by zero.
        grid = torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], 3)
        sampled = F.grid_sample(parts.float(), grid, align_corners=False).to(x.dtype)
        taps = weight[:, :, tap // kernel, tap % kernel, None, None]
        total = total + F.conv2d(sampled.reshape(x.shape), taps)
    return total
