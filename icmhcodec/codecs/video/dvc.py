"""DVC: predicted pictures from coded flows (Lu et al. 2019, arXiv 1812.00101).

Layers are those of its authors' later code, but for two. The residual's coder has the picture
codecs' widths (N=128, M=192), means and gains, so that it starts from their weights; and motion,
which DVC codes with a factorised prior alone, has a hyperprior and gains like it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.codecs.transforms import Transform, load_weights
from icmhcodec.codecs.video import motion
from icmhcodec.codecs.video.compensation import Compensation
from icmhcodec.codecs.video.contract import VideoCodec, check_gains, latent_file
from icmhcodec.codecs.video.layers import side
from icmhcodec.codecs.video.motion import SPYNET_WIDTHS, SpyNet, warp
from icmhcodec.errors import FormatError
from icmhcodec.modelfile import ModelFile

MOST_LEVELS = 5  # of 64 pixels, the coarsest has 4, and flows begin on 2
_SPYNET_KERNEL = re.compile(r"estimation\.levels\.([0-9])\.([0-9]{1,2})\.weight")


class FlowCodec(Hyperprior):
    """A hyperprior codec of flows: its synthesis gives the features that a flow is made of."""

    def transforms(self, tensors: Mapping[str, Tensor]) -> tuple[Transform, Transform]:
        """Eight convolutions each way, their weights still to be loaded."""
        self.encoder_channels = self.decoder_channels = ()
        M = self.latent_channels
        widths = side(tensors, "g_a.0.weight", 0), side(tensors, "g_s.0.weight", 1)
        with torch.device("meta"):  # sizes of a file are not to be trusted with memory
            analysis = motion.flow_analysis(widths[0], M)
            synthesis = motion.flow_synthesis(M, widths[1])
            return Transform(*analysis), Transform(*synthesis)


class DVC(VideoCodec):
    """DVC of a weights file; the sizes are read off its tensors."""

    def __init__(
        self,
        model: ModelFile,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Build the networks; FormatError where the file does not hold them."""
        super().__init__(model, device, dtype)
        tensors = model.tensors
        self.motion = FlowCodec(latent_file(model, "motion"), device, dtype)
        self.residual = Hyperprior(latent_file(model, "residual"), device, dtype)
        check_gains(self)
        place = self.device
        with torch.device("meta"):
            estimation = SpyNet(*_spynet(tensors))
            head = motion.flow_head(side(tensors, "flow_head.weight", 1))
            compensation = Compensation(side(tensors, "compensation.enter.weight", 0))
        self.estimation = load_weights(estimation, tensors, "estimation", place, dtype)
        self.flow_head = load_weights(head, tensors, "flow_head", place, torch.float32)
        self.compensation = load_weights(compensation, tensors, "compensation", place, dtype)

    def motion_latent(self, current: Tensor, reference: Tensor) -> Tensor:
        """The latent of the flow from the current frame to the reference."""
        flow: Tensor = self.estimation(current, reference)
        return self.motion.analysis(flow)

    def prediction(self, motion: Tensor, reference: Tensor) -> Tensor:
        """The predicted frame [B,3,H,W] float32, not clamped."""
        flow = self.flow_head(self.motion.g_s.features(motion))
        predicted: Tensor = self.compensation(warp(reference, flow), reference)
        return predicted

    def residual_latent(self, current: Tensor, prediction: Tensor) -> Tensor:
        """The latent of the difference to the prediction."""
        return self.residual.analysis(current - prediction)

    def reconstruct(self, residual: Tensor, prediction: Tensor) -> Tensor:
        """The prediction with the decoded difference added."""
        return prediction + self.residual.synthesis(residual)


def _spynet(tensors: Mapping[str, Tensor]) -> tuple[int, tuple[int, ...]]:
    """Number of levels and widths of a stored SpyNet."""
    found = [match for name in tensors if (match := _SPYNET_KERNEL.fullmatch(name))]
    levels = len({match[1] for match in found})
    kernels = sorted((int(match[2]), match[0]) for match in found if match[1] == "0")
    if not kernels or levels > MOST_LEVELS:
        raise FormatError("estimation: its tensors are not those of a pyramid of networks")
    inner = (side(tensors, name, 0) for _, name in kernels[:-1])
    return levels, (SPYNET_WIDTHS[0], *inner, SPYNET_WIDTHS[-1])
