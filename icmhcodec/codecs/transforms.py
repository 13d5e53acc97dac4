"""Transforms of the hyperprior codecs: analysis, synthesis, hyper-analysis.

Ballé et al. 2018 (arXiv 1802.01436) and Minnen et al. 2018 (arXiv 1809.02736), with CompressAI's
tensor names. Strides are 16 for the latent and 4 more for the hyper-latent; the sides of a picture
are multiples of 64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.container import Region
from icmhcodec.entropy.regions import DECONVOLUTION, Size, Source, Step, convolution, cut, plan
from icmhcodec.errors import FormatError, UsageError

Adapters = Sequence[nn.Module | None]
Module = TypeVar("Module", bound=nn.Module)

PLACES = (1, 3, 5)  # layers of g_a and g_s that an adapter may follow: the ends of three stages

_POINTWISE = Step()

_PEDESTAL = 2.0**-36
_BETA_BOUND = (1e-6 + _PEDESTAL) ** 0.5
_GAMMA_BOUND = _PEDESTAL**0.5


class GDN(nn.Module):
    """Generalised divisive normalisation (Ballé et al. 2016, arXiv 1511.06281)."""

    def __init__(self, channels: int, inverse: bool = False) -> None:
        """Make room for the effective weights; the inverse multiplies where the other divides."""
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.empty(channels, device="meta"))
        self.gamma = nn.Parameter(torch.empty(channels, channels, 1, 1, device="meta"))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised features [B,C,H,W]."""
        norm = F.conv2d(x * x, self.gamma, self.beta)
        # In place: at the picture's end these features are most of the memory.
        return x * (norm.sqrt_() if self.inverse else norm.rsqrt_())


class Transform(nn.Sequential):
    """Layers one after the other; an adapter may follow each of those at `places`."""

    def __init__(self, *layers: nn.Module, places: Sequence[int] = ()) -> None:
        """Take the layers in order; their names are their numbers."""
        super().__init__(*layers)
        self.places = places

    def forward(self, x: Tensor, adapters: Adapters = ()) -> Tensor:
        """Float32 features [B,C',H',W'] of x [B,C,H,W], computed in the dtype of the weights.

        UsageError where the adapters are neither none nor one (or None) for each place.
        """
        return self.features(x, adapters).float()

    def features(self, x: Tensor, adapters: Adapters = ()) -> Tensor:
        """The same in the dtype of the weights, for layers that go on from there."""
        x = self._entering(x)
        for layer in self._with(adapters):
            x = layer(x).to(x.dtype)
        return x

    def part(self, read: Source, size: Size, region: Region, adapters: Adapters = ()) -> Tensor:
        """What `forward` gives in a region of its output, up to rounding, in less memory.

        `read` gives the region that is needed of a whole input of `size`. Adapters tell their
        `step` and take the origin of their features (see SFMA). Errors: as of `forward`.
        """
        layers = self._with(adapters)
        steps = _steps(layers)
        places = plan(steps, size, region)
        x = self._entering(read(places[0]))
        for layer, step, (before, after) in zip(layers, steps, pairwise(places), strict=True):
            (top, _), (left, _) = before
            y = layer(x, (top, left)) if layer in adapters else layer(x)
            x = cut(y.to(x.dtype), step, before, after)
        return x.float()

    def needed(self, size: Size, region: Region, adapters: Adapters = ()) -> Region:
        """The region of an input of `size` that `part` reads for a region of the output."""
        return plan(_steps(self._with(adapters)), size, region)[0]

    def _entering(self, x: Tensor) -> Tensor:
        return x.to(next(self.parameters()).dtype, memory_format=torch.channels_last)

    def _with(self, adapters: Adapters) -> list[nn.Module]:
        """The layers, and after each at a place its adapter."""
        if adapters and len(adapters) != len(self.places):
            raise UsageError(
                f"{len(adapters)} adapters for {len(self.places)} stages; give one for each"
            )
        after = dict(zip(self.places, adapters, strict=False))
        pairs = ((layer, after.get(i)) for i, layer in enumerate(self))
        return [module for pair in pairs for module in pair if module is not None]


def _steps(layers: Sequence[nn.Module]) -> list[Step]:
    return [getattr(layer, "step", _POINTWISE) for layer in layers]


def analysis(N: int, M: int) -> Transform:
    """g_a: picture [B,3,H,W] to latent [B,M,H/16,W/16]; weights still to be loaded."""
    return Transform(
        conv(3, N), GDN(N), conv(N, N), GDN(N), conv(N, N), GDN(N), conv(N, M), places=PLACES
    )  # fmt: skip


def synthesis(N: int, M: int) -> Transform:
    """g_s: latent [B,M,H/16,W/16] to picture [B,3,H,W]; weights still to be loaded."""
    return Transform(
        _deconv(M, N), GDN(N, True), _deconv(N, N), GDN(N, True),
        _deconv(N, N), GDN(N, True), _deconv(N, 3), places=PLACES,
    )  # fmt: skip


def hyper_analysis(N: int, M: int, slope: float) -> Transform:
    """h_a: latent [B,M,h,w] to hyper-latent [B,N,h/4,w/4]; weights still to be loaded."""
    return Transform(
        conv(M, N, 3, 1), nn.LeakyReLU(slope), conv(N, N), nn.LeakyReLU(slope), conv(N, N)
    )


def load_weights(
    transform: Module,
    tensors: Mapping[str, Tensor],
    prefix: str,
    device: torch.device,
    dtype: torch.dtype,
) -> Module:
    """Assign the stored tensors `prefix.*` to a module, frozen.

    FormatError where a tensor is missing, of another shape or not finite.
    """
    state = {}
    for name in transform.state_dict():
        stored = tensors.get(f"{prefix}.{name}")
        if stored is None:
            raise FormatError(f"{prefix}.{name}: no such tensor in the weights; take another file")
        if not stored.is_floating_point() or not stored.isfinite().all():
            raise FormatError(f"{prefix}.{name}: holds other than finite numbers")
        value = _effective(name.rpartition(".")[2], stored).to(device)
        state[name] = (
            value.to(dtype, memory_format=torch.channels_last)
            if value.ndim == 4
            else value.to(dtype)
        )
    try:
        transform.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise FormatError(f"{prefix}: {str(error).splitlines()[-1].strip()}") from error
    return transform.requires_grad_(False).eval()


def _effective(name: str, stored: Tensor) -> Tensor:
    """What a layer computes with: GDN's weights are stored as square roots (CompressAI's form)."""
    if name == "beta":
        return stored.float().clamp_min(_BETA_BOUND) ** 2 - _PEDESTAL
    if name == "gamma":
        return (stored.float().clamp_min(_GAMMA_BOUND) ** 2 - _PEDESTAL)[..., None, None]
    return stored


class _Conv(nn.Conv2d):
    @property
    def step(self) -> Step:
        return convolution(self.kernel_size[0], self.stride[0])

    def reset_parameters(self) -> None:
        """Nothing: weights are assigned, drawing them first takes longer than all the rest."""


class _Deconv(nn.ConvTranspose2d):
    step = DECONVOLUTION

    def reset_parameters(self) -> None:
        """Nothing, as in _Conv."""


def conv(inputs: int, outputs: int, kernel: int = 5, stride: int = 2) -> nn.Conv2d:
    """A convolution with zeros around its input, that tells its step; weights to be loaded."""
    return _Conv(inputs, outputs, kernel, stride, kernel // 2, device="meta")


def _deconv(inputs: int, outputs: int) -> _Deconv:
    return _Deconv(inputs, outputs, 5, 2, 2, output_padding=1, device="meta")
