"""The light mask predictor: which elements of a latent a task's layer holds.

ICMH-Net and EAC predict from (mean, scale) with three dense 3x3 convolutions at full width; this
one mixes channels with 1x1 and space with depth-wise layers, a tenth of the hyper-decoder's cost.
The network is trained in floating point and used in exact integers only: its inputs are integers
that every decoder has, and an element belongs to the layer where the integer logit is positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.entropy.integers import (
    Activation,
    FloatLayer,
    IntegerNetwork,
    Kind,
    quantise,
    to_extra,
)
from icmhcodec.entropy.model import BLOCK
from icmhcodec.entropy.regions import blocks, crop, whole
from icmhcodec.errors import FormatError

LEVELS = 4
QUALITIES = 10
HIGHEST_QUALITY = (QUALITIES - 1) * 256
# The network knows how much its task's detector shrinks the picture: one condition for each
# long side up to so many pixels, the last for all above.
LONG_SIDES = (453, 539, 640, 762)
MEAN_LIMIT = 16
INDEX_UNIT = 8  # a scale index of 8 enters as 1


@dataclass(frozen=True)
class Condition:
    """What a layer was asked for: quality (1/256 units, 0 to 2304), level (from 1), long side."""

    quality: int
    level: int
    long_side: int

    @property
    def size_class(self) -> int:
        """Index of the picture's size among the network's conditions."""
        return sum(self.long_side > limit for limit in LONG_SIDES)


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


class PredictorNet(nn.Module):
    """Logits [B,M,H,W] from means [B,M,H,W], scale indexes [B,M,H,W] and conditions; for training.

    logit = 1x1(dw3x3(ReLU(1x1(dw3x3(ReLU(1x1(index, mean) + c1)))))) + slope * index + c2, with
    c1 and c2 from tables of the conditions.
    """

    def __init__(self, latent_channels: int, width: int = 128) -> None:
        super().__init__()
        self.enter = nn.Conv2d(2 * latent_channels, width, 1)
        self.spread1 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.mix = nn.Conv2d(width, width, 1)
        self.spread2 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.leave = nn.Conv2d(width, latent_channels, 1)
        self.slope = nn.Parameter(torch.full((latent_channels,), 0.5))
        self.enter_condition = ConditionTable(width)
        self.leave_condition = ConditionTable(latent_channels)
        # Each level starts with more than the one below it.
        self.leave_condition.level.data += torch.linspace(-1.5, 1.5, LEVELS)[:, None]

    def forward(
        self, mean: Tensor, index: Tensor, quality: Tensor, level: Tensor, size_class: Tensor
    ) -> Tensor:
        """Logits; means in units of symbols, qualities from 0 to 9, levels from 1."""
        condition = (quality, level, size_class)
        scaled = index.float() / INDEX_UNIT
        x = torch.cat([scaled, mean.clamp(-MEAN_LIMIT, MEAN_LIMIT)], 1)
        x = F.relu(self.enter(x) + self.enter_condition(*condition)[:, :, None, None])
        x = F.relu(self.mix(self.spread1(x)))
        logits: Tensor = self.leave(self.spread2(x)).float()
        bias = self.leave_condition(*condition)[:, :, None, None]
        logits = logits + self.slope[:, None, None] * scaled + bias
        return logits


INPUT_BITS = 8  # fractional bits between the layers
LOGIT_BITS = INPUT_BITS + 3  # a slope times an index, which counts eighths
_TABLES = ("quality", "level", "size")
LARGEST = 2**30  # side of a latent
MOST = 2**40  # of tables and slopes: times 2^8 and summed they stay far below 2^63


def export_predictor(net: PredictorNet) -> dict[str, Tensor]:
    """The integers of a trained predictor: network, slope and tables of the conditions."""
    layers = [
        FloatLayer(net.enter.weight, net.enter.bias, INPUT_BITS, Kind.CONV, Activation.RELU),
        FloatLayer(net.spread1.weight, net.spread1.bias, INPUT_BITS, Kind.DEPTHWISE),
        FloatLayer(net.mix.weight, net.mix.bias, INPUT_BITS, Kind.CONV, Activation.RELU),
        FloatLayer(net.spread2.weight, net.spread2.bias, INPUT_BITS, Kind.DEPTHWISE),
        FloatLayer(net.leave.weight, net.leave.bias, INPUT_BITS, Kind.CONV),
    ]
    enter = {name: getattr(net.enter_condition, name).detach() for name in _TABLES}
    reach = sum(table.abs().amax(0) for table in enter.values())
    network = quantise(layers, INPUT_BITS, torch.as_tensor(reach))
    tensors = {f"network.{name}": tensor for name, tensor in network.items()}
    for name in _TABLES:
        tensors[f"enter.{name}"] = to_extra(network, enter[name], INPUT_BITS)
        leave = getattr(net.leave_condition, name).detach().double()
        tensors[f"leave.{name}"] = torch.ldexp(leave, torch.tensor(LOGIT_BITS)).round().long()
    slope = torch.ldexp(net.slope.detach().double(), torch.tensor(INPUT_BITS))
    return {**tensors, "slope": slope.round().long()}


class MaskPredictor:
    """An exported predictor in exact integers: the same mask on every machine."""

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> None:
        """Check the tensors of `export_predictor`; FormatError where they do not fit together."""
        try:
            self._tables = {
                f"{side}.{name}": tensors[f"{side}.{name}"].to(device)
                for side in ("enter", "leave")
                for name in _TABLES
            }
            self._slope, bound = tensors["slope"].to(device), tensors["network.extra"]
        except KeyError as error:
            raise FormatError(f"predictor: no tensor {error}; its file is damaged") from error
        network = IntegerNetwork(tensors, "network.", device)
        self._check(network.outputs, len(bound))
        if network.inputs != 2 * network.outputs or network.scale != 1:
            raise FormatError("predictor: its network has another number of channels or scale")
        # The stored bound is of the tables before each was rounded, which may lie a little below.
        reach = sum(self._tables[f"enter.{name}"].cpu().abs().amax(0) for name in _TABLES)
        extra = torch.maximum(bound.cpu(), torch.as_tensor(reach))
        self._network = IntegerNetwork({**tensors, "network.extra": extra}, "network.", device)

    def _check(self, outputs: int, width: int) -> None:
        rows = {"quality": QUALITIES, "level": LEVELS, "size": len(LONG_SIDES) + 1}
        for name, table in self._tables.items():
            side, condition = name.split(".")
            _check_integers(name, table, (rows[condition], width if side == "enter" else outputs))
        _check_integers("slope", self._slope, (outputs,))

    def __call__(self, mean: Tensor, index: Tensor, condition: Condition) -> Tensor:
        """Mask [M,h,w] (bool) from integer means and scale indexes [M,h,w]."""
        if len(mean) != self._network.outputs:
            raise FormatError(
                f"predictor: it is for latents of {self._network.outputs} channels, this one "
                f"has {len(mean)}; the file names the wrong one"
            )
        enter, leave = (self._condition(side, condition) for side in ("enter", "leave"))
        size = (mean.shape[1], mean.shape[2])
        mask = torch.empty_like(mean, dtype=torch.bool)
        for block in blocks(whole(size), BLOCK):
            around = self._network.needed(block, size)
            (top, _), (left, _) = around
            inputs = self._inputs(crop(mean, around), crop(index, around))
            logits = crop(self._network(inputs, enter), block, (top, left)).long()
            slope = self._slope[:, None, None] * crop(index, block)
            crop(mask, block).copy_(logits * INDEX_UNIT + slope + leave[:, None, None] > 0)
        return mask

    def _inputs(self, mean: Tensor, index: Tensor) -> Tensor:
        limit = MEAN_LIMIT << INPUT_BITS
        scaled = index.int() * (2**INPUT_BITS // INDEX_UNIT)
        return torch.cat([scaled, mean.clamp(-limit, limit)])

    @property
    def halo(self) -> int:
        """How many positions around an element decide whether it is selected."""
        middle = LARGEST // 2
        inputs = self._network.needed(((middle, middle + 1),) * 2, (LARGEST, LARGEST))
        return middle - inputs[0][0]

    def _condition(self, side: str, condition: Condition) -> Tensor:
        """The vector [width] of a condition: its quality's rows interpolated, in integers."""
        quality = self._tables[f"{side}.quality"]
        if not 1 <= condition.level <= LEVELS or not 0 <= condition.quality <= HIGHEST_QUALITY:
            raise FormatError(
                f"level {condition.level} at quality {condition.quality}: the predictor has none"
            )
        below = min(condition.quality >> 8, QUALITIES - 2)
        share = condition.quality - (below << 8)
        row = (quality[below] * (256 - share) + quality[below + 1] * share + 128) >> 8
        return (
            row
            + self._tables[f"{side}.level"][condition.level - 1]
            + self._tables[f"{side}.size"][condition.size_class]
        )


def _check_integers(name: str, values: Tensor, shape: tuple[int, ...]) -> None:
    """Raise FormatError where values are not int64 of a shape, or so large that sums may wrap."""
    if values.shape != shape or values.dtype != torch.int64:
        raise FormatError(f"predictor: {name} is of another shape or type")
    if values.min() <= -MOST or values.max() >= MOST:
        raise FormatError(f"predictor: {name} holds too large numbers")
