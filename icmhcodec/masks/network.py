"""Mask predictors that are convolutional networks over means and scale indexes.

The logit of an element is what the network gives there, plus a slope times its scale index, plus a
bias of the condition; another vector of the condition enters after the first layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from icmhcodec.entropy.integers import FloatLayer, IntegerNetwork, quantise, to_extra
from icmhcodec.entropy.model import BLOCK
from icmhcodec.entropy.regions import blocks, crop, whole
from icmhcodec.errors import FormatError
from icmhcodec.masks.predictor import (
    LOGIT_BITS,
    TABLES,
    Condition,
    ConditionTable,
    IntegerConditions,
    check_channels,
    checked,
)

MEAN_LIMIT = 16
INDEX_UNIT = 8  # a scale index of 8 enters as 1
INPUT_BITS = 8  # fractional bits between the layers
SLOPE_BITS = LOGIT_BITS - 3  # a slope times an index, which counts eighths
LARGEST = 2**30  # side of a latent


def network_input(mean: Tensor, index: Tensor) -> Tensor:
    """What a network in training sees, [B,2M,H,W]: scale indexes as floats, then means."""
    return torch.cat([index.float() / INDEX_UNIT, mean.clamp(-MEAN_LIMIT, MEAN_LIMIT)], 1)


def export_network(layers: Sequence[FloatLayer], enter: ConditionTable) -> dict[str, Tensor]:
    """The integers of a network and of the conditions that are added to its first layer's sums."""
    tables = {name: getattr(enter, name).detach() for name in TABLES}
    reach = torch.stack([table.abs().amax(0) for table in tables.values()]).sum(0)
    network = quantise(layers, INPUT_BITS, reach)
    tensors = {f"network.{name}": tensor for name, tensor in network.items()}
    for name, table in tables.items():
        tensors[f"enter.{name}"] = to_extra(network, table, INPUT_BITS)
    return tensors


def network_weights(tensors: Mapping[str, Tensor], layers: Sequence[str]) -> dict[str, Tensor]:
    """Weights, biases and tables in floats, by the names of a network's layers, of its integers.

    What `export_network` was given, but for what rounding took.
    """
    weights = {}
    for i, name in enumerate(layers):
        shift = tensors[f"network.{i}.shift"]
        weights[f"{name}.weight"] = _scaled(
            tensors[f"network.{i}.weight"], shift[:, None, None, None]
        )
        weights[f"{name}.bias"] = _scaled(tensors[f"network.{i}.bias"], shift + INPUT_BITS)
    sums = tensors["network.0.shift"] + INPUT_BITS
    return weights | table_weights(tensors, "enter", sums)


def table_weights(tensors: Mapping[str, Tensor], name: str, bits: Tensor) -> dict[str, Tensor]:
    """A `ConditionTable` in floats, from integers with so many fractional bits."""
    return {f"{name}_condition.{t}": _scaled(tensors[f"{name}.{t}"], bits) for t in TABLES}


def _scaled(values: Tensor, bits: Tensor) -> Tensor:
    return torch.ldexp(values.double(), -bits).float()


class NetworkPredictor:
    """An exported network in exact integers."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        device: torch.device | str = "cpu",
        *,
        slope: bool,
        planes: int = 2,
    ) -> None:
        """Check the tensors; FormatError where they do not fit together.

        `planes` are the numbers per element: its scale index and mean, perhaps others as means are.
        """
        network = IntegerNetwork(tensors, "network.", device)
        self._channels, bound = network.outputs, tensors["network.extra"]
        if network.inputs != planes * network.outputs or network.scale != 1:
            raise FormatError("predictor: its network has another number of channels or scale")
        self._enter = IntegerConditions(tensors, "enter", len(bound), device)
        self._leave = IntegerConditions(tensors, "leave", self._channels, device)
        self._slope = checked(tensors, "slope", (self._channels,)).to(device) if slope else None
        # The stored bound is of the tables before each was rounded, which may lie a little below.
        extra = torch.maximum(bound.cpu(), self._enter.reach)
        self._network = IntegerNetwork({**tensors, "network.extra": extra}, "network.", device)

    @property
    def halo(self) -> int:
        """How many positions around an element decide whether it is selected."""
        middle = LARGEST // 2
        inputs = self._network.needed(((middle, middle + 1),) * 2, (LARGEST, LARGEST))
        return middle - inputs[0][0]

    def __call__(self, mean: Tensor, index: Tensor, condition: Condition) -> Tensor:
        """Mask [M,h,w] (bool) from integer means and scale indexes [M,h,w]."""
        check_channels(index, self._channels)
        enter, leave = self._enter(condition), self._leave(condition)
        size = (mean.shape[1], mean.shape[2])
        mask = torch.empty_like(index, dtype=torch.bool)
        for block in blocks(whole(size), BLOCK):
            around = self._network.needed(block, size)
            (top, _), (left, _) = around
            inputs = self._inputs(crop(mean, around), crop(index, around))
            logits = crop(self._network(inputs, enter), block, (top, left)).long() * INDEX_UNIT
            logits += leave[:, None, None]
            if self._slope is not None:
                logits += self._slope[:, None, None] * crop(index, block)
            crop(mask, block).copy_(logits > 0)
        return mask

    def _inputs(self, mean: Tensor, index: Tensor) -> Tensor:
        limit = MEAN_LIMIT << INPUT_BITS
        scaled = index.int() * (2**INPUT_BITS // INDEX_UNIT)
        return torch.cat([scaled, mean.clamp(-limit, limit)])
