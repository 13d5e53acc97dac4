"""What a file's layers look like from inside: pictures, bits by position, spectra of the latent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from icmhcodec import container
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.container import Container
from icmhcodec.entropy.bits import symbol_bits
from icmhcodec.entropy.model import latent_values
from icmhcodec.errors import UsageError
from icmhcodec.imageio import Picture, to_eight_bits
from icmhcodec.masks import partition
from icmhcodec.pipeline import blocks, latent
from icmhcodec.pipeline import decode as decoding
from icmhcodec.pipeline.area import LATENT_STRIDE, area_of
from icmhcodec.pipeline.latent import LayerToDecode, Prior
from icmhcodec.pipeline.networks import Networks

Map = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A layer that is there with all that it needs.

    `picture` is RGB, of at most the asked size; `psnr` to the original, in dB, where that is given;
    `bits` [h,w] are those of its own symbols at each position of the latent, all channels together,
    by the tables that they are coded with; `segment_bytes` are the lengths of the segments that
    hold them; `spectrum` [h,w] is in dB, of the latent of this layer and the earlier ones of its
    group; `adapted` is as in `Decoded`.
    """

    task: str
    picture: Image.Image
    psnr: float | None
    bits: Map
    segment_bytes: tuple[int, ...]
    spectrum: Map
    adapted: tuple[str, ...]


@dataclass(frozen=True)
class Original:
    """The picture before coding, and the spectrum of its latent before rounding."""

    picture: Image.Image
    spectrum: Map


@dataclass(frozen=True)
class Inside:
    """The layers by their number in the header, those that miss something left out.

    `grid` are the positions of the latent that the picture spans, in width and height: fractions,
    as the last ones may reach beyond it.
    """

    layers: dict[int, Layer]
    original: Original | None
    grid: tuple[float, float]
    warnings: tuple[str, ...]


@torch.no_grad()
def look(networks: Networks, data: bytes, side: int, original: Picture | None = None) -> Inside:
    """Decode every layer of a file or part; pictures are shrunk to `side` pixels.

    Errors: as for decoding; UsageError where the original has another size.
    """
    file = container.parse(data)
    width, height = file.header.width, file.header.height
    if original is not None and original.pixels.shape[:2] != (height, width):
        found = "x".join(map(str, reversed(original.pixels.shape[:2])))
        raise UsageError(f"the original has {found} pixels, the file {width}x{height}")
    layers: dict[int, Layer] = {}
    warnings: list[str] = []
    for group in file.hyper:
        for number, bits, sizes, spectrum in _latents(networks, file, group):
            task = file.header.layers[number].task
            decoded = decoding.decode(networks, data, task)
            psnr = None if original is None else _psnr(original, decoded.picture)
            rgb = _rgb(decoded.picture, side)
            layers[number] = Layer(task, rgb, psnr, bits, sizes, spectrum, decoded.adapted)
            warnings += decoded.warnings
    before = None if original is None else _original(networks, file, original, side)
    grid = width / LATENT_STRIDE, height / LATENT_STRIDE
    return Inside(layers, before, grid, tuple(dict.fromkeys(warnings)))


def _latents(
    networks: Networks, file: Container, number: int
) -> Iterator[tuple[int, Map, tuple[int, ...], Map]]:
    """Number, bits by position, bytes of each segment and spectrum of every whole layer."""
    header = file.header
    group, size = header.groups[number], (header.width, header.height)
    codec = networks.base_of(group.codec, torch.float32)
    z_symbols = latent.decode_hyper(codec, group, file.hyper[number], *size)
    area = area_of(*size, header.tiles)
    items = [
        LayerToDecode(n, layer, file.layers.get(n))
        for n, layer in enumerate(header.layers)
        if layer.group == number
    ]
    # What comes after a layer that is missing lacks a part of its picture.
    whole = list(takewhile(lambda item: item.data is not None, items))
    prior, derived = latent.area_prior(codec, z_symbols, group, area, whole)
    symbols = latent.decode_symbols(codec, prior, derived, group, area, whole)
    coded = free = partition.coded_elements(prior.index, group.skip)
    for item in whole:
        mask = latent.layer_mask(item, prior, area, free, derived.get(item.number))
        free = free & ~mask
        union = torch.where(coded & ~free, symbols, 0)
        spectrum = log_spectrum(latent_values(union, prior.mean))
        assert item.data is not None
        tiles = item.data.tiles or (item.data,)
        sizes = tuple(len(segment) for tile in tiles for segment in tile.segments)
        yield item.number, _bits(codec, prior, symbols, mask), sizes, spectrum


def _bits(codec: BaseCodec, prior: Prior, symbols: Tensor, mask: Tensor) -> Map:
    """Bits [h,w] at each position, of the symbols that the mask holds."""
    values, indexes = (
        partition.take(plane, mask).cpu().numpy() for plane in (symbols, prior.index)
    )
    costs = torch.zeros(mask.shape, dtype=torch.float64)
    costs[mask.cpu()] = torch.from_numpy(symbol_bits(values, indexes, codec.entropy.y_tables))
    found: Map = costs.sum(0).numpy()
    return found


def log_spectrum(y: Tensor) -> Map:
    """Power spectrum of a latent [M,h,w] in dB, mean over channels, frequency 0 in the middle.

    The transform is orthonormal, so that a spectrum's level does not depend on the picture's size.
    """
    power = torch.zeros(y.shape[1:], dtype=torch.float64)
    for channel in y.cpu():  # one by one: a large picture's latent is large
        power += torch.fft.fft2(channel, norm="ortho").abs().square()
    found: Map = torch.fft.fftshift(10 * torch.log10(power / len(y) + 1e-9)).numpy()
    return found


def _original(networks: Networks, file: Container, picture: Picture, side: int) -> Original:
    """With the base codec of the last group, which is people's where they have one."""
    group = file.header.groups[-1]
    codec = networks.base_of(group.codec, torch.float32)
    y = blocks.analysis(codec, picture.pixels)[0].float()
    gain, _ = codec.gains(group.quality)
    rows, columns = (-(-s // LATENT_STRIDE) for s in picture.pixels.shape[:2])
    gained = (y * gain[:, None, None])[:, :rows, :columns]
    return Original(_rgb(picture, side), log_spectrum(gained))


def _psnr(original: Picture, decoded: Picture) -> float:
    """PSNR in dB over all channels, of samples of 8 bits."""
    first, second = (to_eight_bits(p).pixels.astype(np.int32) for p in (original, decoded))
    error = float(np.mean(np.square(first - second), dtype=np.float64))
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def _rgb(picture: Picture, side: int) -> Image.Image:
    """The picture on white as RGB, at most `side` pixels wide and high."""
    eight = to_eight_bits(picture)
    pixels: NDArray[Any] = eight.pixels
    image = Image.fromarray(np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels)
    if eight.alpha is not None:
        white = Image.new("RGB", image.size, "white")
        image = Image.composite(image, white, Image.fromarray(eight.alpha))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image
