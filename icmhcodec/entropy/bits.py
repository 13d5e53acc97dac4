"""What each symbol costs in the range coder, by its integer tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from icmhcodec.entropy.coder import PRECISION, Tables

DIGIT = 4  # bits of a digit of an escape, which are not compressed


def symbol_bits(
    symbols: npt.NDArray[Any], indexes: npt.NDArray[Any], tables: Tables
) -> npt.NDArray[np.float64]:
    """Bits of each of the symbols [n], coded with the tables of the indexes [n].

    A symbol of frequency f costs 16 - log2(f); one outside its table the escape's, and a digit for
    every 4 bits of its distance after one that counts them. A stream is longer than the sum by the
    coder's final state, 64 bits at most.
    """
    row = indexes.astype(np.int64)
    slot = symbols.astype(np.int64) - tables.offsets[row]
    escape = tables.lengths[row].astype(np.int64) - 2
    outside = (slot < 0) | (slot >= escape)
    used = np.where(outside, escape, slot)
    bits: npt.NDArray[np.float64] = PRECISION - np.log2(
        tables.cdfs[row, used + 1] - tables.cdfs[row, used]
    )
    distance = np.where(slot < 0, -2 * slot - 1, 2 * (slot - escape))[outside]
    bits[outside] += DIGIT * (1 + np.ceil(np.log2(distance + 1) / DIGIT))
    return bits
