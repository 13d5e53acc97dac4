"""A frozen base codec between pictures and bits, in two forms.

`exact` is what the coder does, in integers. `estimate` is the same in floats, so that gradients
pass: h_s as a float twin of its integers, additive noise for the rate, rounding with the gradient
of what is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec import modelfile
from icmhcodec.adapters.contract import Adapter
from icmhcodec.codecs import prior, registry
from icmhcodec.codecs.contract import QUALITY_UNIT, BaseCodec
from icmhcodec.codecs.transforms import Adapters
from icmhcodec.entropy.integers import LEAK, LEAK_BITS, Activation, Kind
from icmhcodec.entropy.model import (
    HIDDEN_BITS,
    INPUT_BITS,
    MEAN_BITS,
    SCALE_BITS,
    EntropyModel,
    latent_symbols,
)
from icmhcodec.entropy.tables import scale_table
from icmhcodec.errors import UsageError
from icmhcodec.training import losses
from icmhcodec.training.network import rounded

SCALE_TABLE = torch.tensor(scale_table())
LOWEST_SCALE = scale_table()[0]


@dataclass(frozen=True)
class Latent:
    """What is coded of pictures: symbols, means, scale indexes, bits and coded elements [B,M,h,w].

    `integer_mean` is int32 where it is exact, `inverse` the inverse gains [B,M,1,1], `side_bits`
    those of the hyper-latents [B].
    """

    symbols: Tensor
    mean: Tensor
    index: Tensor
    bits: Tensor
    coded: Tensor
    inverse: Tensor
    side_bits: Tensor
    integer_mean: Tensor | None = None

    def values(self, mask: Tensor) -> Tensor:
        """The latent, without gain, of which a layer holds the elements of a mask [B,M,h,w]."""
        return (self.mean + mask * self.symbols) * self.inverse


class HyperTwin(nn.Module):
    """h_s in floats: what the integers compute, but for the rounding between layers.

    An adapter may follow each layer but the last.
    """

    def __init__(self, entropy: EntropyModel) -> None:
        super().__init__()
        tensors = {k[4:]: v.cpu() for k, v in entropy.to_tensors("").items() if k[:4] == "h_s."}
        count = sum(name.endswith(".spec") for name in tensors)
        M = entropy.latent_channels
        self.split = M
        outputs = len(tensors[f"{count - 1}.bias"])
        last = torch.tensor([SCALE_BITS] * M + [MEAN_BITS] * (outputs - M))
        bits = [torch.tensor(INPUT_BITS), *[torch.tensor(HIDDEN_BITS)] * (count - 1), last]
        self.layers = []
        for i in range(count):
            kind, activation = tensors[f"{i}.spec"].tolist()
            # Bits between layers cancel, as activations are homogeneous: any number will do.
            sums = tensors[f"{i}.shift"] + bits[i + 1]
            shape = (1, -1, 1, 1) if kind == Kind.DECONV else (-1, 1, 1, 1)
            scale = torch.exp2((bits[i] - sums).double()).view(shape)
            weight = (tensors[f"{i}.weight"].double() * scale).float()
            bias = (tensors[f"{i}.bias"] * torch.exp2(-sums.double())).float()
            self.register_buffer(f"weight{i}", weight)
            self.register_buffer(f"bias{i}", bias)
            self.layers.append((Kind(kind), Activation(activation)))

    @property
    def hidden(self) -> tuple[int, ...]:
        """Channels after each layer but the last."""
        outputs = [len(self.get_buffer(f"bias{i}")) for i in range(len(self.layers) - 1)]
        kinds = [kind for kind, _ in self.layers]
        return tuple(
            n // 4 if kind is Kind.SUBPIXEL else n for n, kind in zip(outputs, kinds, strict=False)
        )

    def forward(self, z: Tensor, adapters: Adapters = ()) -> tuple[Tensor, Tensor]:
        """Scales and means, float32 [B,M,4h,4w] each, of hyper-latents z [B,N,h,w]."""
        for i, (kind, activation) in enumerate(self.layers):
            weight, bias = self.get_buffer(f"weight{i}"), self.get_buffer(f"bias{i}")
            if kind is Kind.DECONV:
                z = F.conv_transpose2d(z, weight, bias, stride=2, padding=2, output_padding=1)
            else:
                groups = len(weight) if kind is Kind.DEPTHWISE else 1
                z = F.conv2d(z, weight, bias, padding=weight.shape[-1] // 2, groups=groups)
            z = F.pixel_shuffle(z, 2) if kind is Kind.SUBPIXEL else z
            if activation is not Activation.NONE:
                z = F.leaky_relu(z, _SLOPES[activation])
            if i < len(adapters) and (adapter := adapters[i]) is not None:
                z = adapter(z)
        scale, mean = z[:, : self.split], z[:, self.split :]
        return scale, mean if mean.shape[1] else torch.zeros_like(scale)


_SLOPES = {Activation.RELU: 0.0, Activation.LEAKY: LEAK / 2**LEAK_BITS}


@dataclass(frozen=True)
class HyperAdapters:
    """Adapters of the hyper path, after the layers of h_a and h_s but the last ones."""

    analysis: Sequence[Adapter]
    synthesis: Sequence[Adapter]


class Coder:
    """A base codec as training sees it; UsageError where its file is not here."""

    def __init__(self, codec: BaseCodec) -> None:
        self.codec = codec
        self.twin = HyperTwin(codec.entropy).to(codec.device)
        path = dict(registry.available()).get(codec.id)
        if path is None:
            raise UsageError(f"{codec.id}: its weights file is not here, and it is trained on")
        tensors = modelfile.read(path).tensors
        self._prior = {
            k: v.to(codec.device) for k, v in tensors.items() if k.startswith(prior.PREFIX)
        }
        if not self._prior:
            raise UsageError(f"{codec.id}: its file has no float prior of the hyper-latent")
        self._medians = (codec.entropy.z_medians * 2.0**-MEAN_BITS).to(codec.device)[:, None, None]
        thresholds = SCALE_TABLE[:-1]
        self._thresholds = thresholds.to(codec.device)

    def gains(self, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Gains and inverse gains [B,M,1,1] of qualities [B]."""
        pairs = [self.codec.gains(int(q * QUALITY_UNIT)) for q in quality]
        gain, inverse = (torch.stack(part)[:, :, None, None] for part in zip(*pairs, strict=True))
        return gain, inverse

    @torch.no_grad()
    def exact(self, x: Tensor, quality: Tensor, encoder: Adapters = ()) -> Latent:
        """What the coder makes of pictures [B,3,H,W] at qualities [B]."""
        codec = self.codec
        gain, inverse = self.gains(quality)
        y = codec.analysis(x, encoder).float() * gain
        z = codec.hyper_analysis(y).float()
        z_symbols = [codec.entropy.hyper_symbols(one) for one in z]
        parameters = [codec.entropy.parameters(one) for one in z_symbols]
        integer_mean = torch.stack([mean for mean, _ in parameters])
        index = torch.stack([index for _, index in parameters]).to(y.device).long()
        symbols = latent_symbols(y, integer_mean).float()
        return Latent(
            symbols,
            integer_mean.to(y.device).float() * 2.0**-MEAN_BITS,
            index,
            losses.gaussian_bits(symbols, SCALE_TABLE.to(y.device)[index]),
            (index >= codec.default_skip).float(),
            inverse,
            self._side_bits(torch.stack(z_symbols).to(y.device) + self._medians),
            integer_mean,
        )

    def estimate(
        self,
        x: Tensor,
        quality: Tensor,
        encoder: Adapters = (),
        hyper: HyperAdapters | None = None,
        *,
        noisy: bool = True,
    ) -> Latent:
        """The same in floats, with gradients for the adapters; `noisy` for rates of training.

        With nothing that learns before the latent, no gradient is kept.
        """
        learns = any(encoder) or hyper is not None
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            gain, inverse = self.gains(quality)
            y = self.codec.analysis(x, encoder).float() * gain
            z = self._hyper_analysis(y, hyper).float()
            scale, mean = self.twin(
                rounded(z - self._medians) + self._medians, hyper.synthesis if hyper else ()
            )
            index = torch.bucketize(scale.detach().contiguous(), self._thresholds)
            symbols = rounded(y - mean)
            if learns and noisy:
                rate_scale = losses.lower_bound(scale, LOWEST_SCALE)
                bits = losses.gaussian_bits(y - mean + _noise(y), rate_scale)
                side_bits = self._side_bits(z + _noise(z))
            else:
                bits = losses.gaussian_bits(symbols, SCALE_TABLE.to(y.device)[index])
                side_bits = self._side_bits(rounded(z - self._medians) + self._medians)
            coded = (index >= self.codec.default_skip).float()
        return Latent(symbols, mean, index, bits, coded, inverse, side_bits)

    def _hyper_analysis(self, y: Tensor, hyper: HyperAdapters | None) -> Tensor:
        if hyper is None:
            return self.codec.hyper_analysis(y)
        return adapted_hyper_analysis(self.codec, y, hyper.analysis)

    def _side_bits(self, z: Tensor) -> Tensor:
        """Bits [B] of hyper-latents [B,N,h,w] by the factorised prior."""
        batch, channels = z.shape[:2]
        values = z.transpose(0, 1).reshape(channels, -1)
        mass = losses.lower_bound(prior.mass(self._prior, values), 1e-9)
        bits: Tensor = -torch.log2(mass).float().view(channels, batch, -1).sum((0, 2))
        return bits


def hyper_places(codec: BaseCodec) -> tuple[nn.Sequential, tuple[int, ...]]:
    """h_a, and the channels after each of its activations; UsageError for a codec without."""
    h_a = getattr(codec, "h_a", None)
    if not isinstance(h_a, nn.Sequential):
        raise UsageError(f"{codec.id}: its hyper-analysis takes no adapters")
    layers = [layer for layer in h_a if isinstance(layer, nn.Conv2d)]
    return h_a, tuple(layer.out_channels for layer in layers[:-1])


def adapted_hyper_analysis(codec: BaseCodec, y: Tensor, adapters: Sequence[Adapter]) -> Tensor:
    """Hyper-latents of latents y [B,M,h,w] with gain; an adapter follows each activation of h_a."""
    h_a, _ = hyper_places(codec)
    left = iter(adapters)
    z = (y if codec.entropy.has_means else y.abs()).to(next(h_a.parameters()).dtype)
    for layer in h_a:
        z = layer(z)
        if isinstance(layer, nn.LeakyReLU):
            z = next(left)(z).to(z.dtype)
    return z.float()


def _noise(values: Tensor) -> Tensor:
    return torch.rand_like(values) - 0.5
