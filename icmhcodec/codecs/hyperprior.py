"""Hyperprior codecs: mean and scale, with or without gains, and scale only.

Minnen et al. 2018 (arXiv 1809.02736); Ballé et al. 2018 (arXiv 1802.01436), which codes |y| in
the hyper-latent and has no means; gains of Cui et al. 2021 (arXiv 2003.02012).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from icmhcodec.codecs import transforms, weights
from icmhcodec.codecs.contract import QUALITY_UNIT, BaseCodec
from icmhcodec.codecs.transforms import Adapters, Transform
from icmhcodec.container import Region
from icmhcodec.entropy.integers import Activation, FloatLayer, Kind
from icmhcodec.entropy.model import EntropyModel
from icmhcodec.entropy.regions import Size, Source
from icmhcodec.entropy.tables import SCALES
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.modelfile import ModelFile

HIGHEST_QUALITY = 9 * QUALITY_UNIT
GAINED_LAMBDAS = "0.0009 0.18"  # of gained codecs whose file does not tell theirs
LEAK = 0.01  # slope of mean-scale's activations; scale-only codecs have none below zero


class Hyperprior(BaseCodec):
    """A hyperprior codec of a weights file; the sizes are read off its tensors."""

    def __init__(
        self,
        model: ModelFile,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        entropy: EntropyModel | None = None,
    ) -> None:
        """Build from a base codec's file; FormatError where it does not hold one."""
        tensors = model.tensors
        self._model = model
        self.id = model.id
        self.fingerprint = weights.fingerprint(tensors)
        skip = model.metadata.get("default_skip", "0")
        if not re.fullmatch("[0-9]{1,2}", skip) or int(skip) > SCALES:
            raise FormatError(f"{self.id}: its default skip index {skip!r} is not 0 to {SCALES}")
        self.default_skip = int(skip)
        self.device, self.dtype = torch.device(device), dtype
        self.entropy = entropy or EntropyModel(tensors, "entropy.", self.device)
        N, M = self.entropy.hyper_channels, self.entropy.latent_channels
        self.hyper_channels, self.latent_channels = N, M
        self.encoder_channels = self.decoder_channels = (N, N, N)
        # log gains [levels,M]; a codec without them has the gain 1
        self._log_gains = [
            tensors.get(name, torch.zeros(1, M)).to(self.device) for name in ("gain", "igain")
        ]
        for gains in self._log_gains:
            fits = gains.shape == self._log_gains[0].shape and gains.shape[1:] == (M,)
            if not fits or not len(gains) or not gains.isfinite().all():
                raise FormatError(f"{self.id}: its gains are not finite numbers [levels,{M}]")
        self.levels = len(self._log_gains[0])
        self._lambdas = _lambdas(model.metadata.get("lambdas"), self.levels)
        g_a, g_s = self.transforms(tensors)
        self.g_a, self.g_s, self.h_a = (
            transforms.load_weights(transform, tensors, prefix, self.device, dtype)
            for prefix, transform in (("g_a", g_a), ("g_s", g_s), ("h_a", self.hyper_transform()))
        )

    def transforms(self, tensors: Mapping[str, Tensor]) -> tuple[Transform, Transform]:
        """Analysis and synthesis, their weights still to be loaded."""
        del tensors  # the entropy stage says it all
        N, M = self.hyper_channels, self.latent_channels
        return transforms.analysis(N, M), transforms.synthesis(N, M)

    def hyper_transform(self) -> Transform:
        """Hyper-analysis, its weights still to be loaded."""
        slope = LEAK if self.entropy.has_means else 0.0
        return transforms.hyper_analysis(self.hyper_channels, self.latent_channels, slope)

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Hyperprior:
        """The same codec elsewhere, from the stored weights: no rounding on top of another."""
        entropy = self.entropy if torch.device(device) == self.device else None
        return type(self)(self._model, device, dtype, entropy)

    def analysis(self, x: Tensor, adapters: Adapters = ()) -> Tensor:
        """Latent [B,M,H/16,W/16], without gain, of pictures [B,3,H,W] in [0,1]."""
        y: Tensor = self.g_a(x, adapters)
        return y

    def hyper_analysis(self, y: Tensor) -> Tensor:
        """Hyper-latent [B,N,h/4,w/4] of a latent [B,M,h,w] that carries its gain."""
        z: Tensor = self.h_a(y if self.entropy.has_means else y.abs())
        return z

    def synthesis(self, y: Tensor, adapters: Adapters = ()) -> Tensor:
        """Pictures [B,3,16h,16w], not clamped, of a latent [B,M,h,w] without gain."""
        x: Tensor = self.g_s(y, adapters)
        return x

    def analysis_part(
        self, read: Source, size: Size, region: Region, adapters: Adapters = ()
    ) -> Tensor:
        """What `analysis` gives in a region of the latent, up to rounding, in less memory."""
        return self.g_a.part(read, size, region, adapters)

    def hyper_analysis_part(self, read: Source, size: Size, region: Region) -> Tensor:
        """What `hyper_analysis` gives in a region, up to rounding, in less memory."""
        means = self.entropy.has_means
        return self.h_a.part(read if means else lambda r: read(r).abs(), size, region)

    def synthesis_part(
        self, read: Source, size: Size, region: Region, adapters: Adapters = ()
    ) -> Tensor:
        """What `synthesis` gives in a region of the picture, up to rounding, in less memory."""
        return self.g_s.part(read, size, region, adapters)

    def synthesis_needs(self, size: Size, region: Region, adapters: Adapters = ()) -> Region:
        """The region of a latent of `size` that decides a region of the picture."""
        return self.g_s.needed(size, region, adapters)

    def gains(self, quality: int) -> tuple[Tensor, Tensor]:
        """Gain and inverse gain [M] of a quality in 1/256, geometric between two levels."""
        if not 0 <= quality <= HIGHEST_QUALITY:
            raise UsageError(f"quality {quality / QUALITY_UNIT:g}: it lies between 0 and 9")
        below = min(quality // QUALITY_UNIT, max(self.levels - 2, 0))
        above = min(below + 1, self.levels - 1)
        share = (quality - below * QUALITY_UNIT) / QUALITY_UNIT
        gain, inverse = (
            torch.exp(levels[below] * (1 - share) + levels[above] * share)
            for levels in self._log_gains
        )
        return gain, inverse

    def tradeoff(self, quality: int) -> float | None:
        """Lambda of a quality in 1/256, geometric from the lowest to the highest."""
        if self._lambdas is None:
            return None
        low, high = self._lambdas
        return low * math.exp(quality / HIGHEST_QUALITY * math.log(high / low))


def _lambdas(stored: str | None, levels: int) -> tuple[float, float] | None:
    """Lambdas of the lowest and the highest quality, of a file's metadata "low high" or "one"."""
    text = stored or (GAINED_LAMBDAS if levels > 1 else "")
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        return None
    usable = len(values) in (1, 2) and all(0 < value < math.inf for value in values)
    return (values[0], values[-1]) if usable else None


def hyper_synthesis(
    tensors: Mapping[str, Tensor], activation: Activation = Activation.LEAKY
) -> list[FloatLayer]:
    """The layers of h_s: two transposed convolutions 5x5 and a convolution 3x3.

    A ReLU after the last, as scale-only codecs have it, is of no consequence. KeyError where a
    tensor is missing, UsageError where h_s has another shape.
    """
    layers = [
        FloatLayer(tensors[f"h_s.{i}.weight"], tensors[f"h_s.{i}.bias"], 0, kind, after)
        for i, kind, after in (
            (0, Kind.DECONV, activation),
            (2, Kind.DECONV, activation),
            (4, Kind.CONV, Activation.NONE),
        )
    ]
    if [tuple(layer.weight.shape[2:]) for layer in layers] != [(5, 5), (5, 5), (3, 3)]:
        raise UsageError("export: h_s is not two transposed convolutions 5x5 and a convolution 3x3")
    return layers
