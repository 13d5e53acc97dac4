"""The light mask predictor, the packaged bundles' kind: a tenth of the hyper-decoder's cost.

ICMH-Net and EAC predict with three dense 3x3 convolutions at full width; this one mixes channels
with 1x1 and space with depth-wise layers, and knows that the scale index alone says the most.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.entropy.integers import Activation, FloatLayer, Kind
from icmhcodec.masks.network import (
    INDEX_UNIT,
    INPUT_BITS,
    SLOPE_BITS,
    NetworkPredictor,
    export_network,
    network_input,
    network_weights,
    table_weights,
)
from icmhcodec.masks.predictor import (
    INPUT_SIDE,
    LOGIT_BITS,
    TABLES,
    ConditionTable,
    LogitNet,
    to_integers,
)

LAYERS = ("enter", "spread1", "mix", "spread2", "leave")


class LightNet(LogitNet):
    """Logits [B,M,H,W] from means [B,M,H,W], scale indexes [B,M,H,W] and conditions; for training.

    logit = 1x1(dw3x3(ReLU(1x1(dw3x3(ReLU(1x1(index, mean) + c1)))))) + slope * index + c2, with
    c1 and c2 from tables of the conditions.
    """

    def __init__(
        self, latent_channels: int, input_side: int = INPUT_SIDE, width: int = 128
    ) -> None:
        super().__init__(latent_channels, input_side)
        self.enter = nn.Conv2d(2 * latent_channels, width, 1)
        self.spread1 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.mix = nn.Conv2d(width, width, 1)
        self.spread2 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.leave = nn.Conv2d(width, latent_channels, 1)
        self.slope = nn.Parameter(torch.full((latent_channels,), 0.5))
        self.enter_condition = ConditionTable(width)

    def forward(
        self, mean: Tensor, index: Tensor, quality: Tensor, level: Tensor, size_class: Tensor
    ) -> Tensor:
        """Logits; means in units of symbols, qualities from 0 to 9, levels from 1."""
        condition = (quality, level, size_class)
        x = self.enter(network_input(mean, index))
        x = F.relu(x + self.enter_condition(*condition)[:, :, None, None])
        x = F.relu(self.mix(self.spread1(x)))
        x = self.leave(self.spread2(x)).float()
        bias = self.leave_condition(*condition)[:, :, None, None]
        logits: Tensor = x + self.slope[:, None, None] * (index.float() / INDEX_UNIT) + bias
        return logits

    def integers(self) -> dict[str, Tensor]:
        """Network, slope and tables of the conditions that enter."""
        layers = [
            FloatLayer(self.enter.weight, self.enter.bias, INPUT_BITS, Kind.CONV, Activation.RELU),
            FloatLayer(self.spread1.weight, self.spread1.bias, INPUT_BITS, Kind.DEPTHWISE),
            FloatLayer(self.mix.weight, self.mix.bias, INPUT_BITS, Kind.CONV, Activation.RELU),
            FloatLayer(self.spread2.weight, self.spread2.bias, INPUT_BITS, Kind.DEPTHWISE),
            FloatLayer(self.leave.weight, self.leave.bias, INPUT_BITS, Kind.CONV),
        ]
        network = export_network(layers, self.enter_condition)
        return network | {"slope": to_integers(self.slope, SLOPE_BITS)}


def load(tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> NetworkPredictor:
    """An exported light predictor in exact integers; FormatError where its tensors are not one."""
    return NetworkPredictor(tensors, device, slope=True)


def weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a `LightNet` that an exported predictor was, to train on from there."""
    return {
        **network_weights(tensors, LAYERS),
        **table_weights(tensors, "leave", torch.tensor(LOGIT_BITS)),
        "slope": torch.ldexp(tensors["slope"].double(), torch.tensor(-SLOPE_BITS)).float(),
    }


def widened(state: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """The state of a `LightNet` for a latent of more channels, which come after those it knows.

    It looks at none of the new ones, and selects them by their scale index as the others are in
    the mean.
    """
    known = len(state["slope"])
    new = channels - known
    width = len(state["enter.weight"])
    blank = state["enter.weight"].new_zeros(width, new, 1, 1)
    index, mean = torch.chunk(state["enter.weight"], 2, 1)
    wide = dict(state)
    wide["enter.weight"] = torch.cat([index, blank, mean, blank], 1)
    wide["leave.weight"] = torch.cat([state["leave.weight"], blank.transpose(0, 1)])
    for name in ("slope", "leave.bias", *(f"leave_condition.{t}" for t in TABLES)):
        means = state[name].mean(-1, keepdim=True)
        wide[name] = torch.cat([state[name], means.expand(*means.shape[:-1], new)], -1)
    return wide
