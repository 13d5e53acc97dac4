"""Cheaper symbols for the same picture: an encoder's search, of which decoders know nothing.

The nearest symbol is not the best one where another costs fewer bits than its error is worth.
`round_cheaply` weighs both for each element alone, as video encoders do (rate-distortion optimised
quantisation); `refine` also lets elements make up for each other's errors, by gradients through
the synthesis (content-adaptive encoding: Campos et al. 2019, arXiv 1906.01223; Yang et al. 2020,
arXiv 2006.04240), in steps that keep what they have where they would lose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.container import Region
from icmhcodec.entropy.bits import symbol_bits
from icmhcodec.entropy.coder import Tables
from icmhcodec.entropy.model import MEAN_BITS
from icmhcodec.entropy.regions import Size, Source, blocks, clipped, crop, grown, scaled, whole
from icmhcodec.pipeline.area import LATENT_STRIDE

HIGHEST_EFFORT = 9
STEPS = 4  # of the search for each effort above 1, which has none
REACH = 64  # symbols that lie further out are left alone
ALONE = 30.0  # bits that a squared error of one symbol is worth where nothing makes up for it
START, GROWTH = 8.0, 1.2  # the same in a search at first, and its factor after a step that lost
SHARE = 0.25  # of the elements that a step may change: more overshoot, as neighbours overlap
SIDE = 64  # positions of a block's side
SEEN = 2  # positions around an element whose pixels it changes


@lru_cache(maxsize=16)
def _prices(tables: Tables) -> Tensor:
    """Bits [indexes, 2 REACH + 1] of the symbols from -REACH to REACH."""
    symbols = np.arange(-REACH, REACH + 1)
    rows = [symbol_bits(symbols, np.full(len(symbols), k), tables) for k in range(len(tables))]
    return torch.from_numpy(np.stack(rows)).float()


def prices(tables: Tables, symbols: Tensor, index: Tensor) -> Tensor:
    """Bits of symbols by the tables of their indexes, in the symbols' shape.

    Of what lies beyond REACH only the differences count, and there are none.
    """
    known = _prices(tables).to(symbols.device)
    place = symbols.clamp(-REACH, REACH).long() + REACH
    return known.view(-1)[index.long() * known.shape[1] + place]


def round_cheaply(wanted: Tensor, index: Tensor, tables: Tables, worth: float) -> Tensor:
    """The best of the nearest integer, the next one towards zero, and zero, for each element.

    `wanted` are real symbols, `index` their scale indexes; `worth` the bits of an error of 1.
    """
    best = torch.round(wanted)
    cost = worth * (wanted - best) ** 2 + prices(tables, best, index)
    far = best.abs() > REACH
    for other in (best - torch.sign(best), torch.zeros_like(best)):
        price = worth * (wanted - other) ** 2 + prices(tables, other, index)
        cheaper = (price < cost) & ~far
        best, cost = torch.where(cheaper, other, best), torch.where(cheaper, price, cost)
    return best


@dataclass(frozen=True)
class Target:
    """What a search aims at: regions of a picture [1,3,H,W] in [0,1], its size, its error's price.

    `weight` is lambda 255²: the bits per pixel that a mean squared error of 1 is worth.
    """

    read: Source
    size: Size
    weight: float


def refine(
    codec: BaseCodec, latent: Latent, target: Target, wanted: Callable[[Region], Tensor], steps: int
) -> Tensor:
    """Symbols [M,h,w] that cost less in all, block by block; those of `latent` are replaced.

    `wanted` gives regions of the real symbols that rounding starts from.
    """
    symbols, tables = latent.symbols, codec.entropy.y_tables
    regions = list(blocks(whole(latent.size), SIDE))
    for block in regions:
        index, coded = crop(latent.index, block), crop(latent.coded, block)
        cheap = round_cheaply(wanted(block), index, tables, ALONE)
        crop(symbols, block).copy_(torch.where(coded, cheap, 0))
    for block in regions:
        crop(symbols, block).copy_(_refined(codec, latent, target, block, steps))
    return symbols


@dataclass(frozen=True)
class Latent:
    """What decides a latent's values and bits.

    `symbols` int32, `index` and `coded` are [M,h,w], `mean` [M,H',W'] the integer means of the
    padded latent, `inverse_gain` [M].
    """

    symbols: Tensor
    index: Tensor
    coded: Tensor
    mean: Tensor
    inverse_gain: Tensor

    @property
    def size(self) -> Size:
        """Rows and columns."""
        return self.symbols.shape[1], self.symbols.shape[2]

    def values(self, region: Region, symbols: Tensor, block: Region) -> Tensor:
        """The latent [1,M,h,w] in a region, without gain, with other symbols in a block of it."""
        (top, bottom), (left, right) = region
        around = torch.zeros_like(crop(self.mean, region), dtype=torch.float32)
        known = clipped(region, self.size)
        crop(around, known, (top, left)).copy_(crop(self.symbols, known))
        crop(around, block, (top, left)).zero_()
        (first, last), (start, end) = block
        placed = F.pad(symbols, (start - left, right - end, first - top, bottom - last))
        values = around + placed + crop(self.mean, region) / 2.0**MEAN_BITS
        return (values.to(self.inverse_gain.device) * self.inverse_gain[:, None, None])[None]


def _error(
    codec: BaseCodec, latent: Latent, target: Target, symbols: Tensor, block: Region
) -> Tensor:
    """The bits that the error is worth of all pixels that a block's symbols change."""
    padded = latent.mean.shape[1], latent.mean.shape[2]
    seen = scaled(clipped(grown(block, SEEN), latent.size), LATENT_STRIDE)
    pixels = clipped(seen, target.size)
    needed = codec.synthesis_needs(padded, pixels)
    values = latent.values(needed, symbols, block)
    origin = needed[0][0], needed[1][0]
    decoded = codec.synthesis_part(lambda r: crop(values, r, origin), padded, pixels)
    return target.weight * (decoded - target.read(pixels)).square().sum() / 3


def _refined(codec: BaseCodec, latent: Latent, target: Target, block: Region, steps: int) -> Tensor:
    """A block's symbols after so many steps of projected gradient descent on the whole cost."""
    tables = codec.entropy.y_tables
    index, coded = crop(latent.index, block), crop(latent.coded, block)
    random = torch.Generator().manual_seed(0)  # the same file every time
    best = proposal = crop(latent.symbols, block).float()
    least, worth = float("inf"), START
    gradient = torch.zeros_like(best)
    for step in range(steps + 1):
        with torch.enable_grad():
            symbols = proposal.clone().requires_grad_()
            error = _error(codec, latent, target, symbols, block)
            (slope,) = torch.autograd.grad(error, symbols)
        cost = float(error.detach() + prices(tables, proposal, index)[coded].sum())
        if cost < least:
            best, least, gradient = proposal, cost, slope
        else:
            worth *= GROWTH
        if step < steps:
            chosen = coded & (torch.rand(best.shape, generator=random) < SHARE).to(coded.device)
            wanted = best - gradient / (2 * worth)
            proposal = torch.where(chosen, round_cheaply(wanted, index, tables, worth), best)
    return best.to(latent.symbols.dtype)
