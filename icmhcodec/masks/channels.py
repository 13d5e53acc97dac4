"""Channel selection: a layer holds whole channels of the latent (Liu et al., ICPR 2022).

Of their selection network no layers are published. Here each channel has a trained score for each
condition, and nothing of the picture but its size counts: the static mask that comparisons with
the method need, not its authors' network.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from icmhcodec.errors import FormatError
from icmhcodec.masks.predictor import Condition, IntegerConditions, LogitNet, check_channels


class ChannelNet(LogitNet):
    """Logits [B,M,H,W], the same all over a channel: its score under a condition; for training."""

    def forward(
        self, mean: Tensor, index: Tensor, quality: Tensor, level: Tensor, size_class: Tensor
    ) -> Tensor:
        """Logits; of means [B,M,H,W] and indexes only the shape counts."""
        scores: Tensor = self.leave_condition(quality, level, size_class)
        return scores[:, :, None, None].expand(mean.shape)

    def integers(self) -> dict[str, Tensor]:
        """Nothing but the scores, which are the tables of the conditions."""
        return {}


class ChannelPredictor:
    """Exported scores, in integers."""

    halo = 0

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> None:
        """Check the tensors; FormatError where they do not fit together."""
        level = tensors.get("leave.level", torch.empty(0))
        if level.ndim != 2 or not level.shape[1]:
            raise FormatError("predictor: it has no scores of channels; its file is damaged")
        self._channels = level.shape[1]
        self._scores = IntegerConditions(tensors, "leave", self._channels, device)

    def __call__(self, mean: Tensor, index: Tensor, condition: Condition) -> Tensor:
        """Mask [M,h,w] (bool) of a latent whose means are [M,h,w]."""
        check_channels(mean, self._channels)
        return (self._scores(condition) > 0)[:, None, None].expand(mean.shape).clone()
