"""FVC: residuals and motion of features at half the size (Hu et al. 2021, arXiv 2105.09600).

Layers are those of the authors' code. Their hyper-decoders end in networks of their own width of
512 between hyper-decoder and entropy parameters; here the hyperprior is the picture codecs', exact
in integers and of the same widths, with gains for all qualities. Symbols are rounded around their
means.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.codecs.transforms import Transform, load_weights
from icmhcodec.codecs.video.contract import LATENTS, VideoCodec, check_gains, latent_file
from icmhcodec.codecs.video.deform import deformable_convolution
from icmhcodec.codecs.video.layers import Conv, Deconv, PreciseConv, ResBlocks, side
from icmhcodec.errors import FormatError
from icmhcodec.modelfile import ModelFile

WIDTH = 64  # of features
GROUPS = 8  # that features are shifted in
KERNEL = 3
LEAK = 0.1


class Features(nn.Sequential):
    """Features [B,C,H/2,W/2] of a frame [B,3,H,W]."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__(Conv(3, width, 5, 2), ResBlocks(width))


class Frame(nn.Sequential):
    """A frame [B,3,H,W] of features [B,C,H/2,W/2]."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__(ResBlocks(width), Deconv(width, 3, 5))


class Offsets(nn.Sequential):
    """What moved, [B,C,H,W], of the features of two frames [B,2C,H,W]."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__(
            Conv(2 * width, width, 3), nn.LeakyReLU(LEAK), Conv(width, width, 3),
            nn.LeakyReLU(LEAK),
        )  # fmt: skip


class Alignment(nn.Module):
    """Features of the reference, moved and refined: deformable compensation."""

    def __init__(self, width: int = WIDTH, groups: int = GROUPS) -> None:
        super().__init__()
        self.groups = groups
        self.offsets = PreciseConv(width, 2 * groups * KERNEL**2, KERNEL)
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)  # type: ignore[arg-type]
        self.deform = nn.Conv2d(width, width, KERNEL, bias=False)
        self.refine = nn.Sequential(
            Conv(2 * width, width, 3), nn.LeakyReLU(LEAK), Conv(width, width, 3),
            nn.LeakyReLU(LEAK),
        )  # fmt: skip

    def forward(self, motion: Tensor, features: Tensor) -> Tensor:
        """Predicted features [B,C,H,W] of decoded motion and the reference's features."""
        kernel = self.deform.weight
        offsets = self.offsets(motion)
        aligned = deformable_convolution(features, offsets, kernel, self.groups)
        refined: Tensor = aligned + self.refine(torch.cat([aligned, features], 1))
        return refined


def feature_analysis(width: int, middle: int, M: int) -> list[nn.Module]:
    """Features [B,width,H/2,W/2] to a latent [B,M,H/16,W/16]."""
    return [
        Conv(width, middle, 5, 2), ResBlocks(middle), Conv(middle, middle, 5, 2),
        ResBlocks(middle), Conv(middle, M, 5, 2),
    ]  # fmt: skip


def feature_synthesis(M: int, middle: int, width: int) -> list[nn.Module]:
    """A latent [B,M,H/16,W/16] to features [B,width,H/2,W/2]."""
    return [
        Deconv(M, middle, 5), ResBlocks(middle), Deconv(middle, middle, 5), ResBlocks(middle),
        Deconv(middle, width, 5),
    ]  # fmt: skip


class FeatureCodec(Hyperprior):
    """A hyperprior codec of features."""

    def transforms(self, tensors: Mapping[str, Tensor]) -> tuple[Transform, Transform]:
        """Three convolutions each way with residual blocks, their weights still to be loaded."""
        self.encoder_channels = self.decoder_channels = ()
        M, width = self.latent_channels, side(tensors, "g_a.0.weight", 1)
        middles = side(tensors, "g_a.0.weight", 0), side(tensors, "g_s.0.weight", 1)
        with torch.device("meta"):  # sizes of a file are not to be trusted with memory
            analysis = feature_analysis(width, middles[0], M)
            return Transform(*analysis), Transform(*feature_synthesis(M, middles[1], width))


class FVC(VideoCodec):
    """FVC of a weights file; the sizes are read off its tensors, the number of groups is 8."""

    def __init__(
        self,
        model: ModelFile,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Build the networks; FormatError where the file does not hold them."""
        super().__init__(model, device, dtype)
        tensors = model.tensors
        self.motion, self.residual = (
            FeatureCodec(latent_file(model, name), device, dtype) for name in LATENTS
        )
        check_gains(self)
        width = side(tensors, "features.0.weight", 0)
        fits = all(side(tensors, f"{name}.g_a.0.weight", 1) == width for name in LATENTS)
        if width % GROUPS or not fits:
            raise FormatError(f"{self.id}: features of {width} channels do not fit its other parts")
        with torch.device("meta"):
            features, frame = Features(width), Frame(width)
            offsets, alignment = Offsets(width), Alignment(width)
        place = self.device
        self.features = load_weights(features, tensors, "features", place, dtype)
        self.frame = load_weights(frame, tensors, "frame", place, dtype)
        self.offsets = load_weights(offsets, tensors, "offsets", place, dtype)
        self.alignment = load_weights(alignment, tensors, "alignment", place, dtype)
        head = self.alignment.offsets
        load_weights(head, tensors, "alignment.offsets", place, torch.float32)

    def motion_latent(self, current: Tensor, reference: Tensor) -> Tensor:
        """The latent of what moved between the features of both frames."""
        both = torch.cat([self._features(reference), self._features(current)], 1)
        return self.motion.analysis(self.offsets(both))

    def prediction(self, motion: Tensor, reference: Tensor) -> Tensor:
        """The predicted features [B,C,H/2,W/2]."""
        moved = self.motion.synthesis(motion)
        predicted: Tensor = self.alignment(moved, self._features(reference))
        return predicted

    def residual_latent(self, current: Tensor, prediction: Tensor) -> Tensor:
        """The latent of the difference to the predicted features."""
        return self.residual.analysis(self._features(current) - prediction)

    def reconstruct(self, residual: Tensor, prediction: Tensor) -> Tensor:
        """The frame of the predicted features with the decoded difference added."""
        decoded = self.residual.synthesis(residual).to(prediction.dtype)
        frame: Tensor = self.frame(prediction + decoded)
        return frame.float()

    def _features(self, frame: Tensor) -> Tensor:
        features: Tensor = self.features(frame.to(self.dtype))
        return features
