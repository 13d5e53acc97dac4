"""What decides the symbols of a base codec: h_s in integers, tables, medians, scale thresholds.

The hyper-latent's symbols give, in integers, the mean and the scale's table of every element of the
latent (mean-scale hyperprior, Minnen et al. 2018; without means, Balle et al. 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icmhcodec.container import Region
from icmhcodec.entropy.coder import HYPER_LIMIT, LATENT_LIMIT, Tables
from icmhcodec.entropy.integers import VALUE_LIMIT, FloatLayer, IntegerNetwork, quantise
from icmhcodec.entropy.regions import blocks, crop, scaled, size_of, whole
from icmhcodec.entropy.tables import (
    SCALES,
    factorised_tables,
    gaussian_tables,
    scale_thresholds,
)
from icmhcodec.errors import FormatError, IcmhError, UsageError

MEAN_BITS = 8  # fractional bits of means and medians
SCALE_BITS = 12  # fractional bits of scales
INPUT_BITS = 4  # fractional bits of the hyper-latent in h_s; medians are multiples of 1/16
HIDDEN_BITS = 10  # most fractional bits between the layers of h_s
HYPER_SCALE = 4  # the latent is so many times finer than the hyper-latent
BLOCK = 128  # positions of the latent: what the networks compute at a time is a square of them


class EntropyModel:
    """The integer side of a base codec: N hyper-latent channels, M latent channels.

    z_tables and y_tables are `Tables`, z_medians int32 [N] with MEAN_BITS fractional bits,
    thresholds int32 [63] with SCALE_BITS, network gives M scales, then M means or none.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], prefix: str = "", device: torch.device | str = "cpu"
    ) -> None:
        """Check and take the tensors of `export_entropy_model` under a prefix.

        Raises FormatError where they are damaged.
        """
        self._tensors = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
        self.device = torch.device(device)
        self.z_tables = Tables.from_tensors(self._tensors, "z.")
        self.y_tables = Tables.from_tensors(self._tensors, "y.")
        self.network = IntegerNetwork(self._tensors, "h_s.", device)
        self.hyper_channels = self.network.inputs
        self.z_medians = self._vector("medians", self.hyper_channels)
        self.thresholds = self._vector("thresholds", SCALES - 1)
        (means,) = self._vector("means", 1).tolist()
        self.latent_channels = self.network.outputs // 2 if means else self.network.outputs
        self.has_means = bool(means)
        whole = 2 ** (MEAN_BITS - INPUT_BITS)
        if (
            len(self.z_tables) != self.hyper_channels
            or len(self.y_tables) != SCALES
            or self.latent_channels * (1 + self.has_means) != self.network.outputs
            or (self.z_medians % whole).any()
            or (self.z_medians.long().abs() > HYPER_LIMIT << MEAN_BITS).any()
            or (self.thresholds.long().diff() <= 0).any()
            or self.network.scale != HYPER_SCALE
        ):
            raise FormatError("entropy model: tables, medians and h_s do not fit together")

    def _vector(self, name: str, length: int) -> Tensor:
        vector = self._tensors.get(name, torch.empty(0))
        if vector.dtype != torch.int32 or vector.shape != (length,):
            raise FormatError(f"entropy model: no {name}, or of another size")
        return vector.to(self.device)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str = "entropy.") -> EntropyModel:
        """Build the model from a safetensors file's tensors."""
        return cls(tensors, prefix)

    def to_tensors(self, prefix: str = "entropy.") -> dict[str, Tensor]:
        """Return the tensors that the model was built from, for safetensors and fingerprints."""
        return {f"{prefix}{name}": tensor for name, tensor in sorted(self._tensors.items())}

    def to(self, device: torch.device | str) -> EntropyModel:
        """Return the same model on another device, one that has float64."""
        return EntropyModel(self._tensors, "", device)

    def parameters(
        self, z_symbols: Tensor, region: Region | None = None, *, reference: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the mean, int32 [M, 4h, 4w] (MEAN_BITS), and the table index, uint8 [M, 4h, 4w].

        z_symbols is int32 [N, h, w]; with a region of the latent the results are those of it alone.
        The same on every machine, thread count and memory layout, and in blocks of any size.
        """
        if z_symbols.ndim != 3 or len(z_symbols) != self.hyper_channels:
            raise UsageError(f"entropy model: z symbols are [{self.hyper_channels}, h, w]")
        z = z_symbols.to(self.device).clamp(-HYPER_LIMIT, HYPER_LIMIT) << INPUT_BITS
        z = z + (self.z_medians >> (MEAN_BITS - INPUT_BITS))[:, None, None]
        region = region or scaled(whole((z.shape[1], z.shape[2])), self.network.scale)
        (top, _), (left, _) = region
        mean = z.new_zeros(self.latent_channels, *size_of(region))
        index = torch.zeros_like(mean, dtype=torch.uint8)
        for block in blocks(region, BLOCK):
            output = self.network(z, reference=reference, region=block)
            scale = output[: self.latent_channels]
            if self.has_means:
                crop(mean, block, (top, left)).copy_(output[self.latent_channels :])
            indexes = torch.bucketize(scale.contiguous(), self.thresholds, out_int32=True)
            crop(index, block, (top, left)).copy_(indexes)
        return mean, index

    def hyper_indexes(self, height: int, width: int) -> npt.NDArray[np.int32]:
        """Return the table index, int32 [N h w], of each hyper-latent symbol: its channel."""
        return np.repeat(np.arange(self.hyper_channels, dtype=np.int32), height * width)

    def hyper_symbols(self, z: Tensor) -> Tensor:
        """Round a hyper-latent, float [N, h, w], to symbols around the medians, int32."""
        return _symbols(z, self.z_medians[:, None, None].to(z.device), HYPER_LIMIT)


def latent_symbols(y: Tensor, mean: Tensor) -> Tensor:
    """Round a latent, float [M, H, W], to symbols around the integer mean, int32."""
    return _symbols(y, mean.to(y.device), LATENT_LIMIT)


def latent_values(symbols: Tensor, mean: Tensor) -> Tensor:
    """Return symbol + mean as float32, which holds both exactly."""
    return symbols.float() + mean.float() * 2.0**-MEAN_BITS


def _symbols(values: Tensor, mean: Tensor, limit: int) -> Tensor:
    if not bool(torch.isfinite(values).all()):
        raise IcmhError("latent: a value is not finite; try --precision float32")
    symbols = torch.round(values.float() - mean.float() * 2.0**-MEAN_BITS)
    return symbols.clamp_(-limit, limit).int()


def export_entropy_model(
    layers: Sequence[FloatLayer],
    mass: Callable[[Tensor], Tensor],
    medians: Tensor,
    *,
    means: bool = True,
    prefix: str = "entropy.",
) -> dict[str, Tensor]:
    """Return the tensors of an EntropyModel; the same input gives the same tensors.

    layers are those of the hyper-decoder, the last one's outputs scales, then means if there are
    any; their output_bits are not used. mass maps values, float32 [N, K], to the probabilities
    [N, K] of their unit intervals under the factorised prior; medians is float [N]. Raises
    UsageError for weights that integers cannot hold, FormatError for layers that do not fit.
    """
    # Medians that the input of h_s holds: symbols are rounded around what h_s then sees.
    rounded = (medians.detach().cpu().double() * 2**INPUT_BITS).round()
    z_tables = factorised_tables(mass, rounded / 2**INPUT_BITS)
    outputs = len(layers[-1].weight)
    scales = outputs // 2 if means else outputs
    last_bits = torch.tensor([SCALE_BITS] * scales + [MEAN_BITS] * (outputs - scales))
    hidden_bits = _hidden_bits(layers[:-1], z_tables, rounded / 2**INPUT_BITS)
    bits: list[int | Tensor] = [*hidden_bits, last_bits]
    layers = [replace(layer, output_bits=b) for layer, b in zip(layers, bits, strict=True)]
    tensors = z_tables.to_tensors("z.") | gaussian_tables().to_tensors("y.")
    tensors |= {f"h_s.{name}": tensor for name, tensor in quantise(layers, INPUT_BITS).items()}
    tensors["medians"] = (rounded * 2 ** (MEAN_BITS - INPUT_BITS)).int()
    tensors["thresholds"] = scale_thresholds(SCALE_BITS)
    tensors["means"] = torch.tensor([int(means)], dtype=torch.int32)
    EntropyModel(tensors)
    return {f"{prefix}{name}": tensor for name, tensor in sorted(tensors.items())}


def _hidden_bits(layers: Sequence[FloatLayer], z_tables: Tables, medians: Tensor) -> list[int]:
    """Return the fractional bits after each layer, as many as a wide hyper-latent allows.

    Its symbols are means of two draws from what the tables hold without an escape: photos at the
    highest quality of the packaged codec reach four fifths of that range.
    """
    draws = torch.rand(
        (2, len(z_tables), 16, 16), dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).mean(0)
    lowest, count = (
        torch.from_numpy(part)[:, None, None] for part in (z_tables.offsets, z_tables.lengths - 3)
    )
    h = lowest + count * draws + medians[:, None, None]
    bits = []
    for layer in layers:
        h = layer(h)
        reach = max(float(h.abs().max()), VALUE_LIMIT / 2**HIDDEN_BITS)
        bits.append(math.floor(math.log2(VALUE_LIMIT / reach)))
    return bits
