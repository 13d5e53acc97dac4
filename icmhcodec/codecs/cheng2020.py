"""Cheng et al. 2020's anchor (arXiv 2001.01568), without its context model.

The transforms are CompressAI's `cheng2020-anchor`: residual blocks of 3x3 convolutions, GDN inside
those that change the size, sub-pixel convolutions to come back. There means and scales come from
entropy_parameters(cat(h_s(z), context_prediction(y))), element after element and in floats, which
a decoder cannot do both exactly and fast. Here the context sees zeros, as it does at a picture's
first element: it gives its bias, a constant that goes into the bias of entropy_parameters' first
layer, and the parameters are one network of the hyper-latent alone, in integers. Pictures are as
good as the published ones, for more bits than the published curve.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.codecs.hyperprior import LEAK, Hyperprior
from icmhcodec.codecs.transforms import GDN, PLACES, Transform, conv
from icmhcodec.entropy.integers import Activation, FloatLayer, Kind
from icmhcodec.entropy.regions import chain, convolution, upsampling
from icmhcodec.errors import UsageError


class Cheng2020(Hyperprior):
    """The anchor's transforms; N channels everywhere, CompressAI's N = 128 or 192."""

    def transforms(self, tensors: Mapping[str, Tensor]) -> tuple[Transform, Transform]:
        """Analysis and synthesis, their weights still to be loaded."""
        del tensors
        N, M = self.hyper_channels, self.latent_channels
        return analysis(N, M), synthesis(N, M)

    def hyper_transform(self) -> Transform:
        """Hyper-analysis, its weights still to be loaded."""
        return hyper_analysis(self.hyper_channels, self.latent_channels)


def analysis(N: int, M: int) -> Transform:
    """g_a: picture [B,3,H,W] to latent [B,M,H/16,W/16]; weights still to be loaded."""
    return Transform(
        Downsampling(3, N), Residual(N), Downsampling(N, N), Residual(N),
        Downsampling(N, N), Residual(N), conv(N, M, 3), places=PLACES,
    )  # fmt: skip


def synthesis(N: int, M: int) -> Transform:
    """g_s: latent [B,M,H/16,W/16] to picture [B,3,H,W]; weights still to be loaded."""
    return Transform(
        Residual(M), Upsampling(M, N), Residual(N), Upsampling(N, N),
        Residual(N), Upsampling(N, N), Residual(N), Subpixel(N, 3), places=PLACES,
    )  # fmt: skip


def hyper_analysis(N: int, M: int) -> Transform:
    """h_a: latent [B,M,h,w] to hyper-latent [B,N,h/4,w/4]; weights still to be loaded."""
    return Transform(
        conv(M, N, 3, 1), nn.LeakyReLU(LEAK), conv(N, N, 3, 1), nn.LeakyReLU(LEAK),
        conv(N, N, 3), nn.LeakyReLU(LEAK), conv(N, N, 3, 1), nn.LeakyReLU(LEAK), conv(N, N, 3),
    )  # fmt: skip


def hyper_synthesis(tensors: Mapping[str, Tensor]) -> list[FloatLayer]:
    """The layers from the hyper-latent to M scales, then M means, the context's bias folded in.

    They are h_s and entropy_parameters of CompressAI's tensors. KeyError where one is missing,
    UsageError where the context's does not fit.
    """
    first, context = _FIRST + ".weight", tensors["context_prediction.bias"].double()
    weight, bias = tensors[first], tensors[_FIRST + ".bias"].double()
    own = weight.shape[1] - len(context)
    if own <= 0 or weight.shape[2:] != (1, 1):
        raise UsageError(f"export: {first} does not see a context of {len(context)} channels")
    constant = weight[:, own:, 0, 0].double() @ context
    folded = {**tensors, first: weight[:, :own], _FIRST + ".bias": bias + constant}
    return [
        FloatLayer(folded[name + ".weight"], folded[name + ".bias"], 0, kind, after)
        for name, kind, after in _PARAMETERS
    ]


_FIRST = "entropy_parameters.0"
_PARAMETERS = (
    ("h_s.0", Kind.CONV, Activation.LEAKY),
    ("h_s.2.0", Kind.SUBPIXEL, Activation.LEAKY),
    ("h_s.4", Kind.CONV, Activation.LEAKY),
    ("h_s.6.0", Kind.SUBPIXEL, Activation.LEAKY),
    ("h_s.8", Kind.CONV, Activation.NONE),
    (_FIRST, Kind.CONV, Activation.LEAKY),
    ("entropy_parameters.2", Kind.CONV, Activation.LEAKY),
    ("entropy_parameters.4", Kind.CONV, Activation.NONE),
)


class Residual(nn.Module):
    """Two convolutions 3x3, a LeakyReLU after each, beside the identity."""

    step = chain(convolution(3), convolution(3))

    def __init__(self, channels: int) -> None:
        """Make room for the weights."""
        super().__init__()
        self.conv1 = conv(channels, channels, 3, 1)
        self.conv2 = conv(channels, channels, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B,C,H,W] of x [B,C,H,W]."""
        return _leaky(self.conv2(_leaky(self.conv1(x)))) + x


class Downsampling(nn.Module):
    """Two convolutions 3x3, the first of stride 2, and GDN, beside a convolution 1x1."""

    step = chain(convolution(3, 2), convolution(3))

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make room for the weights."""
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3)
        self.conv2 = conv(outputs, outputs, 3, 1)
        self.gdn = GDN(outputs)
        self.skip = conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B,C',H/2,W/2] of x [B,C,H,W]."""
        y: Tensor = self.gdn(self.conv2(_leaky(self.conv1(x))))
        return y.add_(self.skip(x))


class Upsampling(nn.Module):
    """A sub-pixel convolution, one of 3x3 and inverse GDN, beside another sub-pixel convolution."""

    step = chain(upsampling(1), convolution(3))

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make room for the weights."""
        super().__init__()
        self.subpel_conv = Subpixel(inputs, outputs)
        self.conv = conv(outputs, outputs, 3, 1)
        self.igdn = GDN(outputs, inverse=True)
        self.upsample = Subpixel(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B,C',2H,2W] of x [B,C,H,W]."""
        y: Tensor = self.igdn(self.conv(_leaky(self.subpel_conv(x))))
        return y.add_(self.upsample(x))


class Subpixel(nn.Sequential):
    """A convolution 3x3 whose outputs become 2x2 positions (Shi et al. 2016, arXiv 1609.05158)."""

    step = upsampling(1)

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make room for the weights."""
        super().__init__(conv(inputs, 4 * outputs, 3, 1), nn.PixelShuffle(2))


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK, inplace=True)
