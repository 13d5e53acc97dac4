"""What mask predictors of all kinds share: what they are asked for, and how it enters them.

A predictor is trained in floating point and used in exact integers only: its inputs are integers
that every decoder has, and an element belongs to the layer where the integer logit is positive.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from icmhcodec.errors import FormatError

LEVELS = 4
QUALITIES = 10
HIGHEST_QUALITY = (QUALITIES - 1) * 256
# A predictor knows how much its task's network shrinks the picture, in quarters of an octave: one
# condition for each long side up to so many pixels, the last for all above. These are those of a
# network whose input has 416 pixels; predictors for others carry their own.
LONG_SIDES = (453, 539, 640, 762)
INPUT_SIDE = 416
LARGEST_SIDE = 2**31
TABLES = ("quality", "level", "size")
LOGIT_BITS = 11  # fractional bits of an integer logit
MOST = 2**40  # of tables: times 2^8 and summed they stay far below 2^63


@dataclass(frozen=True)
class Condition:
    """What a layer was asked for: quality (1/256 units, 0 to 2304), level (from 1), long side."""

    quality: int
    level: int
    long_side: int


def long_sides(input_side: int) -> tuple[int, ...]:
    """The limits of the size classes for a network that shrinks pictures to so many pixels."""
    return tuple(round(limit * input_side / INPUT_SIDE) for limit in LONG_SIDES)


def size_class(long_side: int, limits: Sequence[int] = LONG_SIDES) -> int:
    """Index of a picture's size among the conditions."""
    return sum(long_side > limit for limit in limits)


class Predictor(Protocol):
    """A mask predictor in exact integers: the same mask on every machine."""

    @property
    def halo(self) -> int:
        """How many positions around an element decide whether it is selected."""

    def __call__(self, mean: Tensor, index: Tensor, condition: Condition) -> Tensor:
        """Mask [M,h,w] (bool) from integer means and scale indexes [M,h,w]."""


class LogitNet(nn.Module, ABC):
    """A predictor in training: logits [B,M,H,W], positive where a layer holds an element.

    It is called with means (in units of symbols) and scale indexes [B,M,H,W], qualities [B] (0 to
    9), levels [B] (from 1) and size classes [B].
    """

    def __init__(self, latent_channels: int, input_side: int = INPUT_SIDE) -> None:
        super().__init__()
        self.limits = long_sides(input_side)
        self.leave_condition = ConditionTable(latent_channels)
        # Each level starts with more than the one below it.
        self.leave_condition.level.data += torch.linspace(-1.5, 1.5, LEVELS)[:, None]

    @abstractmethod
    def forward(
        self, mean: Tensor, index: Tensor, quality: Tensor, level: Tensor, size_class: Tensor
    ) -> Tensor:
        """Logits [B,M,H,W]."""

    @abstractmethod
    def integers(self) -> dict[str, Tensor]:
        """What the exported predictor computes with, but for what all kinds have."""

    def export(self) -> dict[str, Tensor]:
        """The integers of the trained predictor."""
        tensors = self.integers() | {
            f"leave.{name}": to_integers(getattr(self.leave_condition, name), LOGIT_BITS)
            for name in TABLES
        }
        if self.limits != LONG_SIDES:
            tensors["sides"] = torch.tensor(self.limits)
        return tensors


class ConditionTable(nn.Module):
    """A vector per quality (interpolated), level and size class, added up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.quality = nn.Parameter(torch.zeros(QUALITIES, width))
        self.level = nn.Parameter(torch.zeros(LEVELS, width))
        self.size = nn.Parameter(torch.zeros(len(LONG_SIDES) + 1, width))

    def forward(self, quality: Tensor, level: Tensor, size_class: Tensor) -> Tensor:
        """Vectors [B,width] of qualities [B] (0 to 9), levels [B] (from 1), size classes [B]."""
        below = quality.floor().long().clamp_max(QUALITIES - 2)
        share = (quality - below)[:, None]
        rows = self.quality[below] * (1 - share) + self.quality[below + 1] * share
        total: Tensor = rows + self.level[level - 1] + self.size[size_class]
        return total


class IntegerConditions:
    """A `ConditionTable` in integers, under a prefix, and the limits of the size classes."""

    def __init__(
        self, tensors: Mapping[str, Tensor], prefix: str, width: int, device: torch.device | str
    ) -> None:
        """Take the tables; FormatError where they do not fit."""
        rows = {"quality": QUALITIES, "level": LEVELS, "size": len(LONG_SIDES) + 1}
        self._quality, self._level, self._size = (
            checked(tensors, f"{prefix}.{name}", (rows[name], width)).to(device) for name in TABLES
        )
        sides = checked(tensors, "sides", (len(LONG_SIDES),)) if "sides" in tensors else None
        self._limits = LONG_SIDES if sides is None else tuple(sides.tolist())
        if min(self._limits) < 1 or max(self._limits) > LARGEST_SIDE:
            raise FormatError("predictor: sides holds no sides of pictures")

    @property
    def reach(self) -> Tensor:
        """No vector [width] is larger, for whatever condition."""
        tables = (self._quality, self._level, self._size)
        return torch.stack([table.cpu().abs().amax(0) for table in tables]).sum(0)

    def __call__(self, condition: Condition) -> Tensor:
        """The vector [width] of a condition: its quality's rows interpolated, in integers."""
        if not 1 <= condition.level <= LEVELS or not 0 <= condition.quality <= HIGHEST_QUALITY:
            raise FormatError(
                f"level {condition.level} at quality {condition.quality}: the predictor has none"
            )
        below = min(condition.quality >> 8, QUALITIES - 2)
        share = condition.quality - (below << 8)
        row = self._quality[below] * (256 - share) + self._quality[below + 1] * share + 128 >> 8
        size = self._size[size_class(condition.long_side, self._limits)]
        return row + self._level[condition.level - 1] + size


def to_integers(values: Tensor, bits: int) -> Tensor:
    """Floats as int64 with so many fractional bits."""
    return torch.ldexp(values.detach().cpu().double(), torch.tensor(bits)).round().long()


def checked(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    """An int64 tensor of that shape; FormatError if it is not, or so large that sums may wrap."""
    if name not in tensors:
        raise FormatError(f"predictor: no tensor {name}; its file is damaged")
    values = tensors[name]
    if values.shape != shape or values.dtype != torch.int64:
        raise FormatError(f"predictor: {name} is of another shape or type")
    if values.min() <= -MOST or values.max() >= MOST:
        raise FormatError(f"predictor: {name} holds too large numbers")
    return values


def check_channels(mean: Tensor, channels: int) -> None:
    """FormatError where a latent [M,h,w] has other channels than the predictor was made for."""
    if len(mean) != channels:
        raise FormatError(
            f"predictor: it is for latents of {channels} channels, this one has {len(mean)}; "
            "the file names the wrong one"
        )
