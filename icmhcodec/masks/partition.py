"""Nested, disjoint layers of one latent (EAC, section III-A)."""

from __future__ import annotations

import zlib

import numpy as np
from torch import Tensor


def coded_elements(index: Tensor, skip: int) -> Tensor:
    """Elements [M,H,W] (bool) that any layer codes: those whose scale index reaches the skip index.

    What lies below is almost always zero; it is left at its mean (0 turns the skipping off).
    """
    return index >= skip


def mask_crc(mask: Tensor, crc: int = 0) -> int:
    """CRC-32 of a mask's bits, packed eight to a byte in element order, after what `crc` is of."""
    return zlib.crc32(np.packbits(mask.cpu().numpy().reshape(-1)).tobytes(), crc)


def take(values: Tensor, mask: Tensor) -> Tensor:
    """The selected elements, in element order (channel-major, then rows, then columns)."""
    return values[mask]


def place(values: Tensor, mask: Tensor, target: Tensor) -> None:
    """Put a layer's values [n] back to where `take` found them, in place."""
    target[mask] = values.to(target.dtype)
