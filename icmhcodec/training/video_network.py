"""DVC and FVC as they are trained: additive noise for rounding, float32 or bfloat16.

Tensors bear the names that the export takes: those of the video codec's parts, and under `motion.`
and `residual.` those of a picture codec's network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from icmhcodec.codecs.video import fvc
from icmhcodec.codecs.video import motion as flows
from icmhcodec.codecs.video.compensation import WIDTH as COMPENSATION_WIDTH
from icmhcodec.codecs.video.compensation import Compensation
from icmhcodec.codecs.video.contract import LATENTS, architecture, latent_file
from icmhcodec.codecs.video.motion import SpyNet, warp
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.modelfile import ModelFile
from icmhcodec.training import flow_start
from icmhcodec.training import network as pictures
from icmhcodec.training.network import LAMBDAS, Network

START_SCALE = 0.5  # of a fresh coder's latents
Noise = tuple[Tensor, Tensor]  # of a latent and its hyper-latent


@dataclass(frozen=True)
class Sizes:
    """Widths of a network: N and M of both latents, and of what is around them.

    `inner` are channels inside of the motion's transforms (DVC) or of both latents' (FVC), `around`
    those of the motion compensation (DVC) or of features (FVC).
    """

    motion: tuple[int, int] = (128, 128)
    residual: tuple[int, int] = (128, 192)
    inner: int = 128
    around: int = COMPENSATION_WIDTH
    spynet: tuple[int, ...] = flows.SPYNET_WIDTHS


class FieldNetwork(Network):
    """A hyperprior network of flows or features: other transforms, the rest as of pictures."""

    def __init__(
        self,
        channels: tuple[int, int],
        transforms: tuple[Sequence[nn.Module], Sequence[nn.Module]],
        lambdas: tuple[float, float],
    ) -> None:
        super().__init__(*channels, lambdas)
        self.g_a, self.g_s = (nn.Sequential(*layers) for layers in transforms)


@dataclass(frozen=True)
class Coded:
    """A P frame: what came out, [B,3,H,W] not clamped, and bits per pixel [B] of both latents.

    `warped` is the reference moved (of DVC alone); without a residual `frame` is the prediction.
    """

    frame: Tensor
    predicted: Tensor
    warped: Tensor | None
    motion_bpp: Tensor
    residual_bpp: Tensor


class VideoNetwork(nn.Module, ABC):
    """Two latents and what is between them; frames are [B,3,H,W], sides multiples of 64."""

    architecture: str
    field_scale: int  # of the sides of a frame to those of what the motion's coder takes
    residual_scale: int
    motion: Network
    residual: Network

    @abstractmethod
    def seen_motion(self, current: Tensor, reference: Tensor) -> Tensor:
        """What the motion's coder codes."""

    @abstractmethod
    def predict(self, decoded: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The prediction, the frame that it shows, and the reference moved if there is one."""

    @abstractmethod
    def seen_residual(self, current: Tensor, prediction: Tensor) -> Tensor:
        """What the residual's coder codes."""

    @abstractmethod
    def reconstruct(self, decoded: Tensor, prediction: Tensor) -> Tensor:
        """The frame."""

    def forward(
        self,
        current: Tensor,
        reference: Tensor,
        quality: Tensor,
        noise: tuple[Noise, Noise] | None = None,
        *,
        residual: bool = True,
        skips: tuple[float, float] = (0.0, 0.0),
    ) -> Coded:
        """Code frames at qualities [B]; noise as of `Network.forward`, of motion and residual."""
        of_motion, of_residual = (None, None) if noise is None else noise
        seen = self.seen_motion(current, reference)
        decoded, *bpp = self.motion(seen, quality, of_motion, skips[0])
        motion_bpp = (bpp[0] + bpp[1]) / self.field_scale**2
        prediction, predicted, warped = self.predict(decoded, reference)
        if not residual:
            return Coded(predicted, predicted, warped, motion_bpp, torch.zeros_like(motion_bpp))
        seen = self.seen_residual(current, prediction)
        decoded, *bpp = self.residual(seen, quality, of_residual, skips[1])
        frame = self.reconstruct(decoded, prediction).float()
        residual_bpp = (bpp[0] + bpp[1]) / self.residual_scale**2
        return Coded(frame, predicted, warped, motion_bpp, residual_bpp)

    def noise(self, batch: int, size: int, device: torch.device) -> tuple[Noise, Noise]:
        """Uniform noise in +-0.5 for square crops."""
        shapes = [part.noise_shapes(batch, size) for part in (self.motion, self.residual)]
        first, second = (
            (torch.rand(y, device=device) - 0.5, torch.rand(z, device=device) - 0.5)
            for y, z in shapes
        )
        return first, second


class DVCNetwork(VideoNetwork):
    """DVC (see codecs/video/dvc.py)."""

    architecture = "dvc"
    field_scale = residual_scale = 1

    def __init__(self, sizes: Sizes, lambdas: tuple[float, float] = LAMBDAS) -> None:
        super().__init__()
        _, M = sizes.motion
        transforms = flows.flow_analysis(sizes.inner, M), flows.flow_synthesis(M, sizes.inner)
        self.motion = FieldNetwork(sizes.motion, transforms, lambdas)
        self.residual = Network(*sizes.residual, lambdas)
        self.estimation = SpyNet(widths=sizes.spynet)
        self.flow_head = flows.flow_head(sizes.inner)
        self.compensation = Compensation(sizes.around)

    def seen_motion(self, current: Tensor, reference: Tensor) -> Tensor:
        """The flow."""
        flow: Tensor = self.estimation(current.float(), reference.float())
        return flow

    def predict(self, decoded: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The predicted frame, which it is itself, and the warped reference."""
        warped = warp(reference.float(), self.flow_head(decoded))
        predicted: Tensor = self.compensation(warped, reference.float())
        return predicted, predicted, warped

    def seen_residual(self, current: Tensor, prediction: Tensor) -> Tensor:
        """The difference of frames."""
        return current - prediction

    def reconstruct(self, decoded: Tensor, prediction: Tensor) -> Tensor:
        """The sum of frames."""
        return prediction + decoded


class FVCNetwork(VideoNetwork):
    """FVC (see codecs/video/fvc.py)."""

    architecture = "fvc"
    field_scale = residual_scale = 2

    def __init__(self, sizes: Sizes, lambdas: tuple[float, float] = LAMBDAS) -> None:
        super().__init__()
        width, inner = sizes.around, sizes.inner

        def coder(channels: tuple[int, int]) -> FieldNetwork:
            M = channels[1]
            transforms = (
                fvc.feature_analysis(width, inner, M),
                fvc.feature_synthesis(M, inner, width),
            )
            return FieldNetwork(channels, transforms, lambdas)

        self.motion, self.residual = coder(sizes.motion), coder(sizes.residual)
        self.features, self.frame = fvc.Features(width), fvc.Frame(width)
        self.offsets, self.alignment = fvc.Offsets(width), fvc.Alignment(width)

    def seen_motion(self, current: Tensor, reference: Tensor) -> Tensor:
        """The features of what moved."""
        both = torch.cat([self.features(reference), self.features(current)], 1)
        moved: Tensor = self.offsets(both)
        return moved

    def predict(self, decoded: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The predicted features, and their frame."""
        prediction: Tensor = self.alignment(decoded, self.features(reference))
        return prediction, self.frame(prediction).float(), None

    def seen_residual(self, current: Tensor, prediction: Tensor) -> Tensor:
        """The difference of features."""
        difference: Tensor = self.features(current) - prediction
        return difference

    def reconstruct(self, decoded: Tensor, prediction: Tensor) -> Tensor:
        """The frame of the sum of features."""
        frame: Tensor = self.frame(prediction + decoded)
        return frame


NETWORKS: dict[str, Callable[[Sizes, tuple[float, float]], VideoNetwork]] = {
    "dvc": DVCNetwork,
    "fvc": FVCNetwork,
}


def fresh(architecture: str, sizes: Sizes, lambdas: tuple[float, float] = LAMBDAS) -> VideoNetwork:
    """A network that is not trained; UsageError for an architecture that there is not."""
    if architecture not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise UsageError(f"video codec '{architecture}': one of {known}")
    return NETWORKS[architecture](sizes, lambdas)


@torch.no_grad()
def enliven(network: VideoNetwork) -> None:
    """Let what a fresh network codes pass its coders at the scale that it comes in at.

    By torch's own start eight layers shrink flows to a thousandth, of which rounding leaves
    nothing: such a coder stays dead. Predictions of DVC begin as the warped reference.
    """
    if isinstance(network, DVCNetwork):
        leave = network.compensation.leave
        nn.init.zeros_(leave.weight)
        nn.init.zeros_(cast(Tensor, leave.bias))
        _enliven_coder(network.motion, _RECTIFIED)
        if _fits_transform(network):
            flow_start.start_as_transform(network.motion, network.flow_head)
    else:
        assert isinstance(network, FVCNetwork)
        _keep_scale(network.features, 1.0)
        _keep_scale(network.offsets, _RECTIFIED)
        _keep_scale(network.frame, 1.0)
        for coder in (network.motion, network.residual):
            _enliven_coder(coder, 0.6)  # residual blocks between its layers add to what passes


def _fits_transform(network: DVCNetwork) -> bool:
    width, M = network.flow_head.in_channels, network.motion.latent_channels
    return width >= flow_start.LEAST[0] and flow_start.LEAST[1] <= M


def _enliven_coder(coder: Network, gain: float) -> None:
    _keep_scale(coder.g_a, gain)
    _keep_scale(coder.g_s, gain)
    _keep_scale(coder.h_a, _RECTIFIED)
    # At the least scales, which an untrained h_s gives, a latent costs 20 bits a pixel.
    cast(Tensor, cast(nn.Conv2d, coder.h_s[-1]).bias)[: coder.latent_channels] = START_SCALE


_RECTIFIED = (2 / (1 + flows.LEAK**2)) ** 0.5  # gain of what leaky rectifiers follow (He 2015)


def _keep_scale(layers: nn.Module, gain: float) -> None:
    """Start convolutions so that each multiplies the scale of what passes by a gain."""
    for layer in layers.children():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            taps = layer.in_channels * layer.weight[0, 0].numel()
            if isinstance(layer, nn.ConvTranspose2d):
                taps //= layer.stride[0] ** 2  # so many meet in an output
            nn.init.normal_(layer.weight, std=gain * taps**-0.5)
            nn.init.zeros_(cast(Tensor, layer.bias))


def of_exported(model: ModelFile) -> dict[str, Tensor]:
    """Names of training from those of a video codec's file; FormatError where it is none."""
    architecture(model)
    prefixes = tuple(f"{latent}." for latent in LATENTS)
    state = {k: v.float() for k, v in model.tensors.items() if not k.startswith(prefixes)}
    for latent, prefix in zip(LATENTS, prefixes, strict=True):
        own = pictures.of_exported(latent_file(model, latent).tensors)
        state |= {prefix + name: tensor.float() for name, tensor in own.items()}
    return state


def start_residual(network: VideoNetwork, tensors: Mapping[str, Tensor]) -> None:
    """Give DVC's residual coder a picture codec's trained weights, under the training's names.

    FormatError where they do not fit.
    """
    try:
        network.residual.load_state_dict(dict(tensors))
    except RuntimeError as error:
        detail = str(error).strip().splitlines()[-1].strip()
        raise FormatError(f"the picture codec's weights do not fit ({detail})") from error
