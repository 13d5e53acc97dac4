"""One latent of a picture: quantised, partitioned into layers, coded, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from icmhcodec.adapters import bundles
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.container import Group, Layer, LayerData, MaskKind, Reference
from icmhcodec.entropy import coder
from icmhcodec.entropy.model import latent_symbols, latent_values
from icmhcodec.errors import FormatError
from icmhcodec.masks import coding, partition
from icmhcodec.masks.predictor import Condition, MaskPredictor

LATENT_STRIDE, HYPER_STRIDE = 16, 64
# Skipped elements may carry this share of the quantisation's squared error before fewer are.
SKIPPED_ERROR = 0.05


def padded_size(width: int, height: int) -> tuple[int, int]:
    """The size that the transforms work on: multiples of the hyper-latent's stride."""
    return width + -width % HYPER_STRIDE, height + -height % HYPER_STRIDE


@dataclass(frozen=True)
class Prior:
    """What the hyper-latent says of a latent: integer means and scale indexes.

    `padded_mean` [M,H',W'] covers the padded picture; `mean` and `index` [M,h,w] the positions
    that touch the picture: only those are coded, the others stay at their mean.
    """

    padded_mean: Tensor
    mean: Tensor
    index: Tensor


def hyper_grid(width: int, height: int) -> tuple[int, int]:
    """Rows and columns of the hyper-latent."""
    return -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE)


def prior_of(codec: BaseCodec, z_symbols: Tensor, width: int, height: int) -> Prior:
    """The prior that hyper-symbols [N,h,w] give to every decoder alike."""
    mean, index = codec.entropy.parameters(z_symbols)
    rows, columns = -(-height // LATENT_STRIDE), -(-width // LATENT_STRIDE)
    return Prior(mean, mean[:, :rows, :columns], index[:, :rows, :columns])


@dataclass(frozen=True)
class Quantised:
    """A latent as integers: hyper-symbols [N,h,w], symbols [M,h,w], prior and skip index."""

    quality: int
    z_symbols: Tensor
    symbols: Tensor
    prior: Prior
    skip: int

    @property
    def coded(self) -> Tensor:
        """Elements that some layer codes."""
        return partition.coded_elements(self.prior.index, self.skip)


def quantise(
    codec: BaseCodec, y: Tensor, size: tuple[int, int], quality: int, skip: int | None
) -> Quantised:
    """Integers of a latent y [1,M,H,W] (gain not yet applied) of a picture of (width, height)."""
    gain, _ = codec.gains(quality)
    y = y.float() * gain[:, None, None]
    z_symbols = codec.entropy.hyper_symbols(codec.hyper_analysis(y)[0])
    prior = prior_of(codec, z_symbols, *size)
    rows, columns = prior.mean.shape[1:]
    # The integers are wherever the entropy stage is; the coder takes them on the CPU anyway.
    y = y[0, :, :rows, :columns].to(prior.mean.device)
    symbols = latent_symbols(y, prior.mean)
    if skip is None:
        residual = y - latent_values(torch.zeros_like(symbols), prior.mean)
        skip = _affordable_skip(residual, symbols, prior.index, codec.default_skip)
    return Quantised(quality, z_symbols, symbols, prior, skip)


def _affordable_skip(residual: Tensor, symbols: Tensor, index: Tensor, skip: int) -> int:
    """The weights' skip index, halved until what it drops is a small share of the error.

    Thin lines and text put energy where photos have none.
    """
    rounding = (residual - symbols).square()
    allowed = SKIPPED_ERROR * rounding.sum()
    extra = residual.square() - rounding
    while skip and extra[index < skip].sum() > allowed:
        skip //= 2
    return skip


@dataclass(frozen=True)
class Request:
    """A layer to be coded: for whom, at which level, and how its elements are chosen.

    A `selection` [H,W] or [M,H,W] is written into the file; a `predictor` gives a derived mask,
    which `portable` writes too; with neither, the layer takes all that is left.
    """

    task: str
    level: int = 0
    selection: Tensor | None = None
    predictor: Reference | None = None
    adapter: Reference | None = None
    portable: bool = False


Coded = tuple[Layer, LayerData]


def predicted(reference: Reference, prior: Prior, condition: Condition) -> Tensor:
    """The mask [M,h,w] that a predictor derives; MissingWeightsError if it is not here."""
    return _predictor(reference, prior.mean.device)(prior.mean, prior.index, condition)


@lru_cache(maxsize=16)
def _predictor(reference: Reference, device: torch.device) -> MaskPredictor:
    return MaskPredictor(bundles.by_reference("predictor", reference).tensors, device)


def encode_layers(
    codec: BaseCodec,
    latent: Quantised,
    group: int,
    long_side: int,
    requests: Sequence[Request],
) -> list[Coded]:
    """Code the requested layers in nesting order; each holds what no earlier one does."""
    free = latent.coded
    layers = []
    for request in requests:
        selection = request.selection
        if request.predictor is not None:
            condition = Condition(latent.quality, request.level, long_side)
            selection = predicted(request.predictor, latent.prior, condition)
        mask = free if selection is None else free & selection.to(free.device)
        layers.append(_encode_layer(codec, latent, group, request, mask, free, selection))
        free = free & ~mask
    return layers


def _encode_layer(
    codec: BaseCodec,
    latent: Quantised,
    group: int,
    request: Request,
    mask: Tensor,
    free: Tensor,
    selection: Tensor | None,
) -> Coded:
    derived = request.predictor is not None and not request.portable
    explicit = b""
    if not mask.any() and selection is not None:
        kind = MaskKind.EMPTY
    elif selection is None:
        kind = MaskKind.FULL
    elif derived:
        kind = MaskKind.DERIVED
    else:
        kind = MaskKind.EXPLICIT
        positional = selection.ndim == 2
        explicit = (
            coding.encode_positions(selection)
            if positional
            else coding.encode_elements(mask, free, latent.prior.index)
        )
    symbols = partition.take(latent.symbols, mask).cpu().numpy()
    indexes = partition.take(latent.prior.index, mask).cpu().numpy()
    layer = Layer(
        group=group,
        task=request.task,
        level=request.level,
        mask=kind,
        mask_crc=partition.mask_crc(mask) if kind in _CHECKED else 0,
        symbols=len(symbols),
        symbols_crc=coder.symbols_crc(symbols),
        predictor=request.predictor if kind is MaskKind.DERIVED else None,
        adapter=request.adapter,
    )
    segments = coder.encode_segments(symbols, indexes, codec.entropy.y_tables)
    return layer, LayerData(explicit, segments)


_CHECKED = (MaskKind.DERIVED, MaskKind.EXPLICIT)


def encode_hyper(codec: BaseCodec, z_symbols: Tensor) -> tuple[bytes, ...]:
    """Segments of the hyper-latent; each channel has a table of its own."""
    symbols = z_symbols.cpu().numpy().reshape(-1)
    indexes = codec.entropy.hyper_indexes(*z_symbols.shape[1:])
    return coder.encode_segments(symbols, indexes, codec.entropy.z_tables, coder.HYPER_LIMIT)


def hyper_crc(z_symbols: Tensor) -> int:
    """CRC-32 of the hyper-symbols."""
    return coder.hyper_crc(z_symbols.cpu().numpy().reshape(-1))


def decode_hyper(
    codec: BaseCodec, group: Group, segments: Sequence[bytes], width: int, height: int
) -> Tensor:
    """Hyper-symbols [N,h,w]; FormatError where the stream or the weights are wrong."""
    grid = hyper_grid(width, height)
    indexes = codec.entropy.hyper_indexes(*grid)
    symbols = coder.decode_segments(segments, indexes, codec.entropy.z_tables, coder.HYPER_LIMIT)
    if coder.hyper_crc(symbols) != group.hyper_crc:
        raise FormatError("hyper-latent: its symbols do not have the header's checksum; damaged")
    return torch.from_numpy(symbols).reshape(codec.hyper_channels, *grid)


@dataclass(frozen=True)
class LayerToDecode:
    """A layer's entry in the header, its bytes (None where they are missing) and its index."""

    number: int
    layer: Layer
    data: LayerData | None


def decode_layers(
    codec: BaseCodec,
    prior: Prior,
    group: Group,
    long_side: int,
    layers: Sequence[LayerToDecode],
) -> Tensor:
    """Symbols [M,h,w] of the given layers, in nesting order; zero where none of them says more."""
    symbols = torch.zeros(prior.mean.shape, dtype=torch.int32, device=prior.mean.device)
    free = partition.coded_elements(prior.index, group.skip)
    for item in layers:
        mask = _layer_mask(item, prior, group, long_side, free)
        if item.data is not None:
            _decode_layer(codec, prior, item, item.data, mask, symbols)
        free = free & ~mask
    return symbols


def _decode_layer(
    codec: BaseCodec,
    prior: Prior,
    item: LayerToDecode,
    data: LayerData,
    mask: Tensor,
    symbols: Tensor,
) -> None:
    name = f"layer {item.number} ({item.layer.task})"
    indexes = partition.take(prior.index, mask).cpu().numpy()
    values = coder.decode_segments(data.segments, indexes, codec.entropy.y_tables)
    if coder.symbols_crc(values) != item.layer.symbols_crc:
        raise FormatError(f"{name}: its symbols do not have the header's checksum; damaged")
    partition.place(torch.from_numpy(values).to(symbols.device), mask, symbols)


def _layer_mask(
    item: LayerToDecode, prior: Prior, group: Group, long_side: int, free: Tensor
) -> Tensor:
    layer = item.layer
    name = f"layer {item.number} ({layer.task})"
    if layer.mask is MaskKind.FULL:
        mask = free
    elif layer.mask is MaskKind.EMPTY:
        mask = torch.zeros_like(free)
    elif layer.mask is MaskKind.DERIVED:
        assert layer.predictor is not None  # the container has checked it
        condition = Condition(group.quality, layer.level, long_side)
        mask = free & predicted(layer.predictor, prior, condition)
    elif item.data is None:
        raise FormatError(f"{name}: its mask is not in this part, and later layers need it")
    else:
        mask = coding.decode(item.data.mask, free, prior.index)
    if layer.mask in _CHECKED and partition.mask_crc(mask) != layer.mask_crc:
        raise FormatError(f"{name}: its mask does not have the header's checksum; damaged")
    if int(mask.sum()) != layer.symbols:
        raise FormatError(f"{name}: the header counts other symbols than its mask; damaged")
    return mask


def dequantise(codec: BaseCodec, prior: Prior, symbols: Tensor, quality: int) -> Tensor:
    """Latent [1,M,H',W'] for the synthesis: means, symbols on top, gain undone."""
    _, inverse = codec.gains(quality)
    rows, columns = symbols.shape[1:]
    y = latent_values(torch.zeros_like(prior.padded_mean), prior.padded_mean)
    y[:, :rows, :columns] = latent_values(symbols, prior.mean)
    return (y.to(inverse.device) * inverse[:, None, None])[None]
