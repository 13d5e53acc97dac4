"""Mask predictors of P frames: what a frame's layer holds of its motion and of its residual.

EAC (arXiv 2501.04329, section III-D) predicts from mean, scale and features of the task's last
decoded frame. Decoded frames differ by rounding from machine to machine, and masks must not: here
the third input are the symbols that the same layers held of the frame before, which are integers.
An I frame has none, and after it they count as zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from icmhcodec.entropy.model import MEAN_BITS
from icmhcodec.masks import light
from icmhcodec.masks.light import LightNet
from icmhcodec.masks.network import MEAN_LIMIT, NetworkPredictor
from icmhcodec.masks.predictor import INPUT_SIDE, Condition

LATENTS = ("motion", "residual")
PLANES = 3  # scale index, mean, symbol of the frame before


class VideoNet(LightNet):
    """The light predictor with one more number per element; for training."""

    def __init__(
        self, latent_channels: int, input_side: int = INPUT_SIDE, width: int = 128
    ) -> None:
        super().__init__(latent_channels, input_side, width)
        self.enter = nn.Conv2d(PLANES * latent_channels, width, 1)

    def logits(
        self,
        mean: Tensor,
        index: Tensor,
        before: Tensor,
        quality: Tensor,
        level: Tensor,
        size_class: Tensor,
    ) -> Tensor:
        """Logits [B,M,H,W]; `before` are the last frame's symbols [B,M,H,W], else see LogitNet."""
        logits: Tensor = self(torch.cat([mean, before], 1), index, quality, level, size_class)
        return logits


class VideoPredictor:
    """The predictor of one latent in exact integers: the same mask on every machine."""

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> None:
        """Check the tensors of one latent; FormatError where they do not fit together."""
        self._network = NetworkPredictor(tensors, device, slope=True, planes=PLANES)

    def __call__(self, mean: Tensor, index: Tensor, before: Tensor, condition: Condition) -> Tensor:
        """Mask [M,h,w] (bool) from integer means, scale indexes and symbols of the last frame."""
        symbols = before.to(mean).clamp(-MEAN_LIMIT, MEAN_LIMIT) << MEAN_BITS
        return self._network(torch.cat([mean, symbols]), index, condition)


def export(nets: Mapping[str, VideoNet]) -> dict[str, Tensor]:
    """The tensors of a bundle's predictor file, of the networks of both latents by name."""
    return {
        f"{latent}.{name}": tensor.contiguous()
        for latent in LATENTS
        for name, tensor in nets[latent].export().items()
    }


def load(
    tensors: Mapping[str, Tensor], device: torch.device | str = "cpu"
) -> dict[str, VideoPredictor]:
    """The predictors of both latents by name; FormatError where the file does not hold them."""
    return {latent: VideoPredictor(_of_latent(tensors, latent), device) for latent in LATENTS}


def weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The states of the `VideoNet`s that an exported file was, as `load` takes it, by latent."""
    return {
        f"{latent}.{name}": tensor
        for latent in LATENTS
        for name, tensor in light.weights(_of_latent(tensors, latent)).items()
    }


def _of_latent(tensors: Mapping[str, Tensor], latent: str) -> dict[str, Tensor]:
    prefix = f"{latent}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
