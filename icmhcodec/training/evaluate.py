"""What trained weights reach: rate and distortion over pictures, in floats and as exported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from icmhcodec.codecs.contract import QUALITY_UNIT, BaseCodec
from icmhcodec.entropy.bits import symbol_bits
from icmhcodec.entropy.coder import Tables
from icmhcodec.entropy.model import MEAN_BITS, latent_symbols, latent_values
from icmhcodec.entropy.tables import scale_table
from icmhcodec.errors import UsageError
from icmhcodec.training import losses, photos
from icmhcodec.training.loop import Point
from icmhcodec.training.network import Network

QUALITIES = (0.0, 3.0, 6.0, 9.0)


class Pictures:
    """The pictures of a folder, each uint8 [1,H,W,3], read anew on every pass."""

    def __init__(self, folder: Path) -> None:
        """UsageError where there are none."""
        self.folder, self.paths = folder, photos.find(folder)
        if not self.paths:
            raise UsageError(f"{folder}: no pictures to measure on")

    def __iter__(self) -> Iterator[Tensor]:
        """Decode one after the other."""
        for path in self.paths:
            with Image.open(path) as image:
                yield torch.from_numpy(np.array(image.convert("RGB")))[None]


@torch.no_grad()
def curve(
    network: Network,
    pictures: Iterable[Tensor],
    qualities: Sequence[float] = QUALITIES,
    skip: float = 0.0,
) -> tuple[Point, ...]:
    """Mean bits per pixel, by the model's own likelihoods, and PSNR over pictures uint8 [1,H,W,3].

    In float32, rounded, decoded pixels as 8 bits.
    """
    device = network.gain.device
    rows = [
        [_measure(network, photos.to_input(picture, device), q, skip) for q in qualities]
        for picture in pictures
    ]
    means = np.mean(rows, 0)
    return tuple(Point(q, float(b), float(p)) for q, (b, p) in zip(qualities, means, strict=True))


def _measure(network: Network, x: Tensor, quality: float, skip: float) -> tuple[float, float]:
    height, width = x.shape[2:]
    padded = _padded(x)
    decoded, *bpp = network(padded, torch.tensor([quality], device=x.device), None, skip)
    error = _levels(decoded, height, width) / 255 - x
    padding = padded[0, 0].numel() / (height * width)
    return sum(part.item() for part in bpp) * padding, _psnr(error.pow(2).mean().item())


def _padded(x: Tensor) -> Tensor:
    """Edges replicated to multiples of the hyper-latent's stride."""
    return F.pad(x, (0, -x.shape[3] % 64, 0, -x.shape[2] % 64), mode="replicate")


def _levels(decoded: Tensor, height: int, width: int) -> Tensor:
    """A decoded picture [B,3,H,W] as whole levels of 0 to 255."""
    return (decoded[..., :height, :width].float().clamp(0, 1) * 255).round()


def _psnr(error: float) -> float:
    """Decibels of a mean squared error of values in 0 to 1."""
    return -10 * math.log10(max(error, 1e-10))


@dataclass(frozen=True)
class Measured:
    """An exported codec at a quality: a point of real integers, and what those cost.

    `integer_stage_percent` is the difference in bits, by the same tables, to means and scales of
    the float hyper-decoder; `tables_percent` that to the float model's own likelihoods, all in;
    `moved_percent` the share of elements that another table codes than the floats would choose.
    """

    quality: float
    bpp: float
    psnr: float
    integer_stage_percent: float
    tables_percent: float
    moved_percent: float


Row = dict[str, float]


@torch.no_grad()
def exported(
    codec: BaseCodec, network: Network, pictures: Iterable[Tensor], qualities: Sequence[float]
) -> list[Measured]:
    """An exported codec over pictures, uint8 [1,H,W,3], beside the network that it was made from.

    Bits are ideal lengths under the exact stage's tables, without the file's header; PSNR is of
    pixels as 8 bits. Means over pictures; percentages are of bits added up.
    """
    rows = []
    for picture in pictures:
        y = codec.analysis(_padded(photos.to_input(picture, codec.device)))
        rows.append([_row(codec, network, picture, y, round(q * QUALITY_UNIT)) for q in qualities])
    return [_summary(q, points) for q, *points in zip(qualities, *rows, strict=True)]


def _row(codec: BaseCodec, network: Network, picture: Tensor, y: Tensor, quality: int) -> Row:
    """One picture at one quality; elements that only touch the padding are not coded."""
    entropy, (height, width) = codec.entropy, picture.shape[1:3]
    rows, columns = -(-height // 16), -(-width // 16)
    gain, inverse = (g[:, None, None] for g in codec.gains(quality))
    y = y.float() * gain
    z_symbols = entropy.hyper_symbols(codec.hyper_analysis(y)[0])
    z_hat = (z_symbols + entropy.z_medians[:, None, None] * 2.0**-MEAN_BITS)[None]
    scale, float_mean = network.h_s(z_hat)[0].chunk(2)
    mean, index = entropy.parameters(z_symbols)
    symbols = latent_symbols(y[0], mean)
    coded = torch.zeros_like(index, dtype=torch.bool)
    coded[:, :rows, :columns] = index[:, :rows, :columns] >= codec.default_skip
    float_symbols = torch.round(y[0] - float_mean)
    stages = compare_stages(
        entropy.y_tables, (symbols[coded], index[coded]), (float_symbols[coded], scale[coded])
    )
    z_indexes = torch.from_numpy(entropy.hyper_indexes(*z_symbols.shape[1:]))
    z_bits = code_length(z_symbols.flatten(), z_indexes, entropy.z_tables)
    likelihoods = losses.gaussian_bits(float_symbols, scale.clamp_min(0.11))[coded]
    decoded = codec.synthesis((latent_values(symbols * coded, mean) * inverse)[None])
    error = _levels(decoded, height, width) - picture.permute(0, 3, 1, 2).to(decoded.device)
    return {
        "bpp": (stages["integer_stage_bits"] + z_bits) / (height * width),
        "psnr": _psnr(error.double().pow(2).mean().item() / 255**2),
        "z_bits": z_bits,
        "model_bits": float(likelihoods.double().sum() - network.eb(z_hat).double().log2().sum()),
        "elements": float(coded.sum()),
        **stages,
    }


def _summary(quality: float, rows: Sequence[Row]) -> Measured:
    total = {name: sum(row[name] for row in rows) for name in rows[0]}
    integer, floating = total["integer_stage_bits"], total["float_stage_bits"]
    return Measured(
        quality,
        total["bpp"] / len(rows),
        total["psnr"] / len(rows),
        100 * (integer - floating) / (floating + total["z_bits"]),
        100 * ((integer + total["z_bits"]) / total["model_bits"] - 1),
        100 * total["moved"] / total["elements"],
    )


def compare_stages(
    tables: Tables, integer: tuple[Tensor, Tensor], floating: tuple[Tensor, Tensor]
) -> Row:
    """Ideal code lengths of the symbols [n] of the integer stage, and of those of a float one.

    `integer` are symbols with table indexes, `floating` symbols with scales; `moved` counts the
    indexes that differ.
    """
    index = scale_index(floating[1])
    return {
        "integer_stage_bits": code_length(*integer, tables),
        "float_stage_bits": code_length(floating[0], index, tables),
        "moved": float((index != integer[1]).sum()),
    }


def scale_index(scale: Tensor) -> Tensor:
    """Index, int32, of the first table scale at or above each scale (CompressAI's rule)."""
    thresholds = torch.tensor(scale_table()[:-1], device=scale.device)
    return torch.bucketize(scale.contiguous(), thresholds, out_int32=True)


def code_length(symbols: Tensor, indexes: Tensor, tables: Tables) -> float:
    """Bits that an ideal range coder needs for symbols [n] with table indexes [n]."""
    bits = symbol_bits(symbols.cpu().numpy(), indexes.cpu().numpy(), tables)
    return float(bits.sum())
