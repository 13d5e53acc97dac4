"""The mask predictor of ICMH-Net and EAC (arXiv 2501.04329, section III-A) in its size.

Three 3x3 convolutions at twice the latent's width and two logits for each element: 3.98 M
parameters at 192 channels. The paper trains one for each rate; here tables of the conditions let
one serve all, as in the light predictor.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.entropy.integers import LEAK, LEAK_BITS, Activation, FloatLayer
from icmhcodec.masks.network import INPUT_BITS, NetworkPredictor, export_network, network_input
from icmhcodec.masks.predictor import INPUT_SIDE, ConditionTable, LogitNet

SLOPE = LEAK / 2**LEAK_BITS


class IcmhNet(LogitNet):
    """Logits [B,M,H,W] from means [B,M,H,W], scale indexes [B,M,H,W] and conditions; for training.

    What is returned is the difference of the paper's two logits, "selected" less "not": under its
    softmax, with Gumbel noise or without, nothing else counts.
    """

    def __init__(self, latent_channels: int, input_side: int = INPUT_SIDE) -> None:
        super().__init__(latent_channels, input_side)
        width = 2 * latent_channels
        self.first, self.second, self.third = (
            nn.Conv2d(width, width, 3, padding=1) for _ in range(3)
        )
        self.enter_condition = ConditionTable(width)

    def forward(
        self, mean: Tensor, index: Tensor, quality: Tensor, level: Tensor, size_class: Tensor
    ) -> Tensor:
        """Logits; means in units of symbols, qualities from 0 to 9, levels from 1."""
        condition = (quality, level, size_class)
        x = self.first(network_input(mean, index))
        x = F.leaky_relu(x + self.enter_condition(*condition)[:, :, None, None], SLOPE)
        x = F.leaky_relu(self.second(x), SLOPE)
        without, with_ = self.third(x).float().chunk(2, 1)
        logits: Tensor = with_ - without + self.leave_condition(*condition)[:, :, None, None]
        return logits

    def integers(self) -> dict[str, Tensor]:
        """Network and tables of the conditions that enter; the last layer gives the difference."""
        assert self.third.bias is not None
        weights, biases = self.third.weight.chunk(2), self.third.bias.chunk(2)
        layers = [
            FloatLayer(layer.weight, layer.bias, INPUT_BITS, activation=Activation.LEAKY)
            for layer in (self.first, self.second)
        ]
        layers.append(FloatLayer(weights[1] - weights[0], biases[1] - biases[0], INPUT_BITS))
        return export_network(layers, self.enter_condition)


def load(tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> NetworkPredictor:
    """An exported predictor in exact integers; FormatError where its tensors are not one."""
    return NetworkPredictor(tensors, device, slope=False)
