"""Makes the integer tables that are shipped with the weights; never used when coding.

CompressAI's construction (Balle et al. 2018; Minnen et al. 2018): one table per scale of a Gaussian
around 0, one per channel of the hyper-latent; what lies outside of a table is coded as an escape.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icmhcodec.entropy.coder import HYPER_LIMIT, MOST_ENTRIES, PRECISION, Tables

SCALES = 64
LEAST_MASS = 1e-8  # values of less mass at a table's ends are left to the escape

Masses = npt.NDArray[np.float64]


def scale_table() -> list[float]:
    """Return the 64 scales, log-spaced from 0.11 to 256."""
    low, high = math.log(0.11), math.log(256)
    return [math.exp(low + (high - low) * i / (SCALES - 1)) for i in range(SCALES)]


def scale_thresholds(bits: int) -> Tensor:
    """Return int32 [63]: a scale of so many fractional bits above i of them has index i.

    The index is that of the first table scale at or above the scale (CompressAI's rule).
    """
    return torch.tensor([math.floor(s * 2**bits) for s in scale_table()[:-1]], dtype=torch.int32)


def gaussian_tables() -> Tables:
    """Return the 64 tables of zero-mean Gaussians, integrated over unit intervals."""
    reach = MOST_ENTRIES
    masses = np.zeros((SCALES, 2 * reach + 1))
    for row, scale in zip(masses, scale_table(), strict=True):
        tails = [math.erfc((k - 0.5) / scale / math.sqrt(2)) / 2 for k in range(reach + 2)]
        row[reach:] = [tails[k] - tails[k + 1] for k in range(reach + 1)]
        row[:reach] = row[:reach:-1]
    return tables_of(masses, -reach)


def factorised_tables(mass: Callable[[Tensor], Tensor], medians: Tensor) -> Tables:
    """Return one table per channel of a factorised prior.

    mass maps values, float32 [N, K], to the probabilities [N, K] of their unit intervals; medians,
    float [N], is what the symbol 0 stands for.
    """
    values = torch.arange(-HYPER_LIMIT, HYPER_LIMIT + 1) + medians.detach().cpu().double()[:, None]
    with torch.no_grad():
        masses = mass(values.float()).double().cpu().numpy()
    return tables_of(masses, -HYPER_LIMIT)


def tables_of(masses: Masses, first: int) -> Tables:
    """Return tables for masses [T, K] of the values first, first + 1, ...; the rest is escape."""
    spans = [_span(row) for row in masses]
    cdfs = np.zeros((len(masses), 2 + max(end - start for start, end in spans)), np.int32)
    for cdf, row, (start, end) in zip(cdfs, masses, spans, strict=True):
        inside = row[start:end]
        frequencies = _frequencies(np.append(inside, max(0.0, 1 - inside.sum())))
        cdf[1 : end - start + 2] = np.cumsum(frequencies)
    lengths = np.array([end - start + 2 for start, end in spans])
    return Tables(cdfs, lengths, first + np.array([start for start, _ in spans]))


def _span(masses: Masses) -> tuple[int, int]:
    """Return the slice from the first to the last value worth an entry, the most massive one."""
    worth = np.flatnonzero(masses > LEAST_MASS)
    start, end = int(worth[0]), int(worth[-1]) + 1
    if end - start > MOST_ENTRIES:
        sums = np.concatenate([[0.0], np.cumsum(masses[start:end])])
        start += int(np.argmax(sums[MOST_ENTRIES:] - sums[:-MOST_ENTRIES]))
        end = start + MOST_ENTRIES
    return start, end


def _frequencies(masses: Masses) -> npt.NDArray[np.int64]:
    """Return frequencies of at least 1 that sum to 2^16 and cost the fewest bits (greedily)."""
    wanted = 1 << PRECISION
    masses = masses / masses.sum()
    frequencies: npt.NDArray[np.int64] = np.maximum(1, np.round(masses * wanted)).astype(np.int64)
    while (error := wanted - int(frequencies.sum())) != 0:
        step = 1 if error > 0 else -1
        cost = np.full(len(masses), np.inf)
        able = frequencies + step >= 1
        cost[able] = -masses[able] * np.log(1 + step / frequencies[able])
        frequencies[np.argmin(cost)] += step
    return frequencies
