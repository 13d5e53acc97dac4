"""The gained mean-scale hyperprior as it is trained: additive noise for rounding, float32 or bf16.

Minnen et al. 2018 (arXiv 1809.02736), gains of Cui et al. 2021 (arXiv 2003.02012). Tensors bear
CompressAI's names (g_a, g_s, h_a, h_s); the factorised prior is `eb`, gains are logarithms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.codecs import prior, weights
from icmhcodec.entropy.tables import scale_table
from icmhcodec.errors import FormatError
from icmhcodec.training import losses

LEVELS = 10  # trained gains: qualities 0 to 9
LAMBDAS = 0.0009, 0.18  # of the lowest and the highest
_PEDESTAL = 2.0**-36
_BETA_BOUND = (1e-6 + _PEDESTAL) ** 0.5
_GAMMA_BOUND = 2.0**-18
_WIDTHS = (1, 3, 3, 3, 3, 1)  # of the factorised prior's layers
_START_SCALE = 3.0  # CompressAI's 10 costs 0.14 bpp in the first thousand steps
COUPLING = 1e-4  # what GDN's channels make of each other at the start


class GDN(nn.Module):
    """Generalised divisive normalisation, its weights as square roots (CompressAI's form).

    What channels make of each other starts above zero: a square root at zero has no gradient.
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.full((channels,), (1 + _PEDESTAL) ** 0.5))
        self.gamma = nn.Parameter((0.1 * torch.eye(channels) + _PEDESTAL).sqrt())
        self.couple(COUPLING)

    @torch.no_grad()
    def couple(self, least: float) -> None:
        """Raise what the channels make of each other to at least so much."""
        raised = self.gamma.clamp_min((least + _PEDESTAL) ** 0.5)
        self.gamma.copy_(raised)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised features [B,C,H,W]."""
        beta = losses.lower_bound(self.beta, _BETA_BOUND) ** 2 - _PEDESTAL
        gamma = losses.lower_bound(self.gamma, _GAMMA_BOUND) ** 2 - _PEDESTAL
        norm = F.conv2d(x * x, gamma[..., None, None].to(x.dtype), beta.to(x.dtype))
        return x * (norm.sqrt() if self.inverse else norm.rsqrt())


class FactorisedPrior(nn.Module):
    """Density of each channel of the hyper-latent (Ballé et al. 2018, appendix 6.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        scale = _START_SCALE ** (1 / (len(_WIDTHS) - 1))
        self.m, self.b, self.f = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(_WIDTHS):
            start = math.log(math.expm1(1 / scale / outputs))
            self.m.append(nn.Parameter(torch.full((channels, outputs, inputs), start)))
            self.b.append(nn.Parameter(torch.empty(channels, outputs, 1).uniform_(-0.5, 0.5)))
        for outputs in _WIDTHS[1:-1]:
            self.f.append(nn.Parameter(torch.zeros(channels, outputs, 1)))
        self.med: Tensor
        self.tails: Tensor
        self.register_buffer("med", torch.zeros(channels))
        self.register_buffer("tails", torch.tensor([[-_START_SCALE, _START_SCALE]] * channels))

    def log_odds(self, values: Tensor) -> Tensor:
        """Log-odds of the cumulative, [C,1,n], at values [C,1,n]."""
        for i, (matrix, bias) in enumerate(zip(self.m, self.b, strict=True)):
            values = F.softplus(matrix) @ values + bias
            if i < len(self.f):
                values = values + torch.tanh(self.f[i]) * torch.tanh(values)
        return values

    def forward(self, z: Tensor) -> Tensor:
        """Probabilities, float32 [B,C,h,w], of the unit intervals around z [B,C,h,w]."""
        batch, channels, height, width = z.shape
        with torch.autocast(z.device.type, enabled=False):
            values = z.permute(1, 0, 2, 3).reshape(channels, 1, -1).float()
            lower, upper = self.log_odds(values - 0.5), self.log_odds(values + 0.5)
            sign = -torch.sign(lower + upper).detach()
            mass = (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()
            mass = losses.lower_bound(mass, 1e-9)
            return mass.reshape(channels, batch, height, width).permute(1, 0, 2, 3)

    @torch.no_grad()
    def follow(self, step: float) -> None:
        """Move medians and tails by `step` towards where the cumulative says they are.

        The log-odds rise with the value, so the sign of what is missing is the gradient's.
        """
        reach = math.log(2 / 1e-9 - 1)
        points = torch.stack([self.tails[:, 0], self.med, self.tails[:, 1]], 1)
        target = torch.tensor([-reach, 0.0, reach], device=points.device)
        points -= step * torch.sign(self.log_odds(points[:, None])[:, 0] - target)
        self.med.copy_(points[:, 1])
        self.tails.copy_(points[:, ::2])


class Network(nn.Module):
    """All rates in one codec: a gain and an inverse gain per level between g_a and g_s.

    `lambdas` are those of the lowest and the highest level, between them it grows geometrically;
    `inner` are the widths inside of h_s, by default M and 3M/2.
    """

    def __init__(
        self,
        N: int = 128,
        M: int = 192,
        lambdas: tuple[float, float] = LAMBDAS,
        inner: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.hyper_channels, self.latent_channels, self.lambdas = N, M, lambdas
        self.g_a = nn.Sequential(
            _conv(3, N), GDN(N), _conv(N, N), GDN(N), _conv(N, N), GDN(N), _conv(N, M)
        )  # fmt: skip
        self.g_s = nn.Sequential(
            _deconv(M, N), GDN(N, True), _deconv(N, N), GDN(N, True),
            _deconv(N, N), GDN(N, True), _deconv(N, 3),
        )  # fmt: skip
        self.h_a = nn.Sequential(
            _conv(M, N, 3, 1), nn.LeakyReLU(), _conv(N, N), nn.LeakyReLU(), _conv(N, N)
        )
        self.inner_channels = first, second = inner or (M, M * 3 // 2)
        self.h_s = nn.Sequential(
            _deconv(N, first), nn.LeakyReLU(), _deconv(first, second), nn.LeakyReLU(),
            _conv(second, M * 2, 3, 1),
        )  # fmt: skip
        self.eb = FactorisedPrior(N)
        # The distortion that a level's lambda asks for has a step of 1/gain ~ lambda^-1/2.
        start = torch.linspace(0.5 * math.log(lambdas[0] / lambdas[1]), 0, LEVELS)
        self.gain = nn.Parameter(start[:, None].repeat(1, M))
        self.igain = nn.Parameter(-start[:, None].repeat(1, M))

    def couple(self, least: float) -> None:
        """Raise what the channels of a normalisation make of each other to at least so much."""
        for layer in (*self.g_a, *self.g_s):
            if isinstance(layer, GDN):
                layer.couple(least)

    def gains(self, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Gains and inverse gains [B,M,1,1] of qualities [B], geometric between two levels."""
        quality = quality.clamp(0, LEVELS - 1)
        below = quality.floor().long().clamp_max(LEVELS - 2)
        share = (quality - below)[:, None]
        gain, inverse = (
            torch.exp(levels[below] * (1 - share) + levels[below + 1] * share)
            for levels in (self.gain, self.igain)
        )
        return gain[..., None, None], inverse[..., None, None]

    def forward(
        self,
        x: Tensor,
        quality: Tensor,
        noise: tuple[Tensor, Tensor] | None = None,
        skip: float = 0.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decoded pictures [B,3,H,W] float32, bits per pixel [B] of the latent and hyper-latent.

        x is [B,3,H,W] in [0,1], H and W multiples of 64, qualities [B] in 0 to 9. `noise`, uniform
        in +-0.5 in the shapes of latent and hyper-latent, stands for rounding where the rate is
        taken; without it they are rounded. Elements of a scale under `skip` are not coded.
        """
        gain, inverse = self.gains(quality)
        y = self.g_a(x).float() * gain
        z = self.h_a(y.to(x.dtype)).float()
        median = self.eb.med[None, :, None, None]
        z_hat = rounded(z - median) + median
        of_z = self.eb(z_hat if noise is None else z + noise[1])
        scale, mean = self.h_s(z_hat.to(x.dtype)).float().chunk(2, 1)
        scale = losses.lower_bound(scale, 0.11)
        residual = y - mean
        symbols = rounded(residual)
        bits = losses.gaussian_bits(symbols if noise is None else residual + noise[0], scale)
        if skip:
            coded = scale.detach() > skip
            symbols, bits = symbols * coded, bits * coded
        decoded = self.g_s(((mean + symbols) * inverse).to(x.dtype)).float()
        pixels = x.shape[2] * x.shape[3]
        y_bpp, z_bpp = (b.flatten(1).sum(1) / pixels for b in (bits, -torch.log2(of_z)))
        return decoded, y_bpp, z_bpp

    def noise_shapes(self, batch: int, side: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of latent and hyper-latent of square crops."""
        y = (batch, self.latent_channels, side // 16, side // 16)
        return y, (batch, self.hyper_channels, side // 64, side // 64)


def skip_scale(index: int) -> float:
    """The scale at and under which a codec of that skip index does not code."""
    return scale_table()[index - 1] if index else 0.0


def from_tensors(tensors: Mapping[str, Tensor], lambdas: tuple[float, float] = LAMBDAS) -> Network:
    """A network of trained weights: under this module's names, or as a base codec's file has them.

    FormatError where they are not those of a mean-scale hyperprior of ten levels.
    """
    state = dict(tensors) if "eb.med" in tensors else of_exported(tensors)
    own = {k: v.float() for k, v in state.items() if re.match(r"(g_|h_|eb\.|i?gain$)", k)}
    try:
        N, M = len(own["g_a.0.weight"]), len(own["g_a.6.weight"])
        inner = own["h_s.0.weight"].shape[1], own["h_s.2.weight"].shape[1]
        network = Network(N, M, lambdas, inner)
        network.load_state_dict(own)
    except (KeyError, RuntimeError) as error:
        detail = str(error).strip().splitlines()[-1].strip()
        raise FormatError(
            f"not the weights of a mean-scale hyperprior of {LEVELS} levels ({detail})"
        ) from error
    return network


_EXPORTED_PARTS = {"_matrix": "m", "_bias": "b", "_factor": "f"}


def of_exported(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of training from those of a base codec's file; h_s from its integers."""
    state = {k: v for k, v in tensors.items() if not k.startswith(("entropy", prior.PREFIX))}
    for name, value in tensors.items():
        if match := re.fullmatch(prior.PREFIX + r"(_matrix|_bias|_factor)(\d)", name):
            state[f"eb.{_EXPORTED_PARTS[match[1]]}.{match[2]}"] = value
    try:
        quantiles = tensors[f"{prior.PREFIX}quantiles"][:, 0]
        state |= weights.float_hyper_synthesis(tensors)
    except KeyError as error:
        raise FormatError(f"{error.args[0]}: no such tensor in the weights") from error
    return state | {"eb.med": quantiles[:, 1], "eb.tails": quantiles[:, ::2]}


def rounded(values: Tensor) -> Tensor:
    """Rounded values with the gradient of the values."""
    return values + (torch.round(values) - values).detach()


def _conv(inputs: int, outputs: int, kernel: int = 5, stride: int = 2) -> nn.Conv2d:
    return _unbiased(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2))


def _deconv(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return _unbiased(nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, output_padding=1))


Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d)


def _unbiased(layer: Layer) -> Layer:
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
