"""One latent of a picture: quantised, partitioned into layers, coded, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from icmhcodec.adapters import bundles
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.container import Group, Layer, LayerData, MaskKind, Reference, Region, Tile
from icmhcodec.entropy import coder
from icmhcodec.entropy.model import MEAN_BITS, latent_symbols, latent_values
from icmhcodec.entropy.regions import clipped, crop, grown
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.masks import coding, kinds, partition
from icmhcodec.masks.predictor import Condition, Predictor
from icmhcodec.pipeline import blocks, refine
from icmhcodec.pipeline.area import Area, hyper_grid, latent_grid, padded_grid

# Skipped elements may carry this share of the quantisation's squared error before fewer are.
SKIPPED_ERROR = 0.05


@dataclass(frozen=True)
class Prior:
    """What the hyper-latent says of a latent: integer means and scale indexes.

    `padded_mean` [M,H',W'] covers the padded picture; `mean` and `index` [M,h,w] the positions
    that touch the picture: only those are coded, the others stay at their mean.
    """

    padded_mean: Tensor
    mean: Tensor
    index: Tensor


def prior_of(
    codec: BaseCodec, z_symbols: Tensor, width: int, height: int, region: Region | None = None
) -> Prior:
    """The prior that hyper-symbols [N,h,w] give to every decoder alike, or a region of it."""
    mean, index = codec.entropy.parameters(z_symbols, region)
    return _touching(mean, index, width, height, region)


def _touching(mean: Tensor, index: Tensor, width: int, height: int, region: Region | None) -> Prior:
    (top, _), (left, _) = region or ((0, 0), (0, 0))
    rows, columns = latent_grid(width, height)
    inside = ..., slice(rows - top), slice(columns - left)
    return Prior(mean, mean[inside], index[inside])


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


def quantise(codec: BaseCodec, y: Tensor, area: Area, quality: int, skip: int | None) -> Quantised:
    """Integers of a latent y [1,M,H,W] (gain not yet applied) of a whole picture."""
    gain, _ = codec.gains(quality)
    z_symbols = codec.entropy.hyper_symbols(blocks.hyper_analysis(codec, y, gain))
    prior = prior_of(codec, z_symbols, area.width, area.height)

    def values(region: Region) -> Tensor:
        # The integers are wherever the entropy stage is; the coder takes them on the CPU anyway.
        return (crop(y[0], region).float() * gain[:, None, None]).to(prior.mean.device)

    symbols = torch.empty(prior.mean.shape, dtype=torch.int32, device=prior.mean.device)
    regions = [area.coded(region) for region in area.tiles.values()]
    for region in regions:
        crop(symbols, region).copy_(latent_symbols(values(region), crop(prior.mean, region)))
    quantised = Quantised(quality, z_symbols, symbols, prior, codec.default_skip)
    if skip is None:
        skip = _affordable_skip(quantised, values, regions)
    return replace(quantised, skip=skip)


def refined(
    codec: BaseCodec, y: Tensor, quantised: Quantised, picture: NDArray[Any], steps: int
) -> Quantised:
    """The same latent with symbols of fewer bits, from so many steps of a search for each block.

    `y` is what was quantised, `picture` [H,W,C] what it is of. UsageError where nobody knows what
    bits and errors are worth to the codec.
    """
    tradeoff = codec.tradeoff(quantised.quality)
    if tradeoff is None:
        raise UsageError(f"{codec.id}: its weights do not say their lambda; encode with effort 1")
    gain, inverse = codec.gains(quantised.quality)
    prior = quantised.prior
    symbols = quantised.symbols.clone()
    latent = refine.Latent(symbols, prior.index, quantised.coded, prior.padded_mean, inverse)

    def wanted(region: Region) -> Tensor:
        values = (crop(y[0], region).float() * gain[:, None, None]).to(prior.mean.device)
        return values - crop(prior.mean, region) / 2.0**MEAN_BITS

    read = partial(blocks.input_part, picture, codec.device)
    target = refine.Target(read, (picture.shape[0], picture.shape[1]), tradeoff * 255**2)
    return replace(quantised, symbols=refine.refine(codec, latent, target, wanted, steps))


def _affordable_skip(
    quantised: Quantised, values: Callable[[Region], Tensor], regions: Sequence[Region]
) -> int:
    """The weights' skip index, halved until what it drops is a small share of the error.

    Thin lines and text put energy where photos have none.
    """
    skip = quantised.skip
    while skip and not _is_affordable(skip, quantised, values, regions):
        skip //= 2
    return skip


def _is_affordable(
    skip: int, quantised: Quantised, values: Callable[[Region], Tensor], regions: Sequence[Region]
) -> bool:
    total = extra = torch.zeros((), device=quantised.symbols.device)
    for region in regions:
        symbols, mean = crop(quantised.symbols, region), crop(quantised.prior.mean, region)
        residual = values(region) - latent_values(torch.zeros_like(symbols), mean)
        rounding = (residual - symbols).square()
        more = residual.square() - rounding
        total = total + rounding.sum()
        extra = extra + more[crop(quantised.prior.index, region) < skip].sum()
    return not bool(extra > SKIPPED_ERROR * total)


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
def _predictor(reference: Reference, device: torch.device) -> Predictor:
    return kinds.load(bundles.by_reference("predictor", reference).tensors, device)


def encode_layers(
    codec: BaseCodec,
    latent: Quantised,
    area: Area,
    group: int,
    requests: Sequence[Request],
) -> list[Coded]:
    """Code the requested layers in nesting order; each holds what no earlier one does."""
    free = latent.coded
    layers = []
    for request in requests:
        selection = request.selection
        if request.predictor is not None:
            condition = Condition(latent.quality, request.level, max(area.width, area.height))
            selection = predicted(request.predictor, latent.prior, condition)
        mask = free if selection is None else free & selection.to(free.device)
        layers.append(_encode_layer(codec, latent, area, group, request, mask, free, selection))
        free = free & ~mask
    return layers


def _encode_layer(
    codec: BaseCodec,
    latent: Quantised,
    area: Area,
    group: int,
    request: Request,
    mask: Tensor,
    free: Tensor,
    selection: Tensor | None,
) -> Coded:
    derived = request.predictor is not None and not request.portable
    if selection is None:
        kind = MaskKind.FULL
    elif not mask.any():
        kind = MaskKind.EMPTY
    else:
        kind = MaskKind.DERIVED if derived else MaskKind.EXPLICIT
    tiles = []
    symbols_crc = mask_crc = 0
    for region in (area.coded(region) for region in area.tiles.values()):
        here = partial(crop, wanted=region)
        explicit = b""
        if kind is MaskKind.EXPLICIT:
            assert selection is not None
            explicit = _explicit(here(selection), here(mask), here(free), here(latent.prior.index))
        symbols = partition.take(here(latent.symbols), here(mask)).cpu().numpy()
        indexes = partition.take(here(latent.prior.index), here(mask)).cpu().numpy()
        symbols_crc = coder.symbols_crc(symbols, symbols_crc)
        mask_crc = partition.mask_crc(here(mask), mask_crc)
        segments = coder.encode_segments(symbols, indexes, codec.entropy.y_tables)
        tiles.append(_tile(symbols, here(mask), explicit, segments))
    layer = Layer(
        group=group,
        task=request.task,
        level=request.level,
        mask=kind,
        mask_crc=mask_crc if kind in _CHECKED else 0,
        symbols=sum(tile.symbols for tile in tiles),
        symbols_crc=symbols_crc,
        predictor=request.predictor if kind is MaskKind.DERIVED else None,
        adapter=request.adapter,
    )
    if len(tiles) == 1:
        return layer, LayerData(tiles[0].mask, tiles[0].segments)
    return layer, LayerData(tiles=tuple(tiles) if layer.symbols else ())


_CHECKED = (MaskKind.DERIVED, MaskKind.EXPLICIT)


def _explicit(selection: Tensor, mask: Tensor, free: Tensor, index: Tensor) -> bytes:
    if selection.ndim == 2:
        return coding.encode_positions(selection)
    return coding.encode_elements(mask, free, index)


def _tile(
    symbols: coder.Integers, mask: Tensor, explicit: bytes, segments: tuple[bytes, ...]
) -> Tile:
    if not len(symbols):
        return Tile(0, 0, b"", ())
    return Tile(len(symbols), _tile_crc(symbols, mask), explicit, segments)


def _tile_crc(symbols: coder.Integers, mask: Tensor) -> int:
    return coder.symbols_crc(symbols, partition.mask_crc(mask))


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

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"layer {self.number} ({self.layer.task})"

    def tile(self, number: int, area: Area) -> Tile | None:
        """A tile's bytes, None where they are missing."""
        if self.data is None:
            return None
        if self.data.tiles:
            return self.data.tiles[number]
        if area.tiled:
            return Tile(0, 0, b"", ())
        return Tile(self.layer.symbols, 0, self.data.mask, self.data.segments)


def decode_layers(
    codec: BaseCodec,
    z_symbols: Tensor,
    group: Group,
    area: Area,
    layers: Sequence[LayerToDecode],
) -> tuple[Prior, Tensor]:
    """Prior and symbols [M,h,w] of an area from the given layers of a group, in nesting order.

    Symbols are zero where none of the layers says more. FormatError where a layer is damaged.
    """
    prior, derived = area_prior(codec, z_symbols, group, area, layers)
    return prior, decode_symbols(codec, prior, derived, group, area, layers)


def decode_symbols(
    codec: BaseCodec,
    prior: Prior,
    derived: Mapping[int, Tensor],
    group: Group,
    area: Area,
    layers: Sequence[LayerToDecode],
) -> Tensor:
    """Symbols [M,h,w] of an area; `derived` are the masks that predictors give, by layer."""
    symbols = torch.zeros(prior.mean.shape, dtype=torch.int32, device=prior.mean.device)
    free = partition.coded_elements(prior.index, group.skip)
    for item in layers:
        mask = layer_mask(item, prior, area, free, derived.get(item.number))
        if item.data is not None:
            _decode_layer(codec, prior, area, item, mask, symbols)
        free = free & ~mask
    return symbols


def area_prior(
    codec: BaseCodec,
    z_symbols: Tensor,
    group: Group,
    area: Area,
    layers: Sequence[LayerToDecode],
) -> tuple[Prior, dict[int, Tensor]]:
    """The prior of an area, and the masks that predictors derive there.

    These look at what lies around the area, too.
    """
    predictors = {
        item.number: item.layer.predictor
        for item in layers
        if item.layer.mask is MaskKind.DERIVED and item.layer.predictor is not None
    }
    device = codec.entropy.device
    halo = max((_predictor(p, device).halo for p in predictors.values()), default=0)
    around = clipped(grown(area.region, halo), padded_grid(area.width, area.height))
    prior = prior_of(codec, z_symbols, area.width, area.height, around)
    (top, _), (left, _) = around
    inside = area.coded(area.region)
    masks = {}
    for item in layers:
        if item.number in predictors:
            condition = Condition(group.quality, item.layer.level, max(area.width, area.height))
            mask = predicted(predictors[item.number], prior, condition)
            masks[item.number] = crop(mask, inside, (top, left))
    mean, index = (
        crop(plane, region, (top, left))
        for plane, region in ((prior.padded_mean, area.region), (prior.index, inside))
    )
    return Prior(mean, crop(mean, inside, area.origin), index), masks


def _decode_layer(
    codec: BaseCodec, prior: Prior, area: Area, item: LayerToDecode, mask: Tensor, symbols: Tensor
) -> None:
    symbols_crc = 0
    for number, region in area.tiles.items():
        here = partial(crop, wanted=area.coded(region), origin=area.origin)
        tile, tile_mask = item.tile(number, area), here(mask)
        assert tile is not None  # the layer has data
        if int(tile_mask.sum()) != tile.symbols:
            raise FormatError(f"{item.name}: a tile counts other symbols than its mask; damaged")
        indexes = partition.take(here(prior.index), tile_mask).cpu().numpy()
        values = coder.decode_segments(tile.segments, indexes, codec.entropy.y_tables)
        symbols_crc = coder.symbols_crc(values, symbols_crc)
        if area.tiled and tile.symbols and tile.crc != _tile_crc(values, tile_mask):
            raise FormatError(f"{item.name}, tile {number}: it does not have its checksum; damaged")
        partition.place(torch.from_numpy(values).to(symbols.device), tile_mask, here(symbols))
    if area.whole and symbols_crc != item.layer.symbols_crc:
        raise FormatError(f"{item.name}: its symbols do not have the header's checksum; damaged")


def layer_mask(
    item: LayerToDecode, prior: Prior, area: Area, free: Tensor, derived: Tensor | None
) -> Tensor:
    """The elements [M,h,w] of an area that a layer holds."""
    layer = item.layer
    if layer.mask is MaskKind.FULL:
        mask = free
    elif layer.mask is MaskKind.EMPTY:
        mask = torch.zeros_like(free)
    elif derived is not None:
        mask = free & derived
    else:
        mask = _explicit_mask(item, prior, area, free)
    if not area.whole:  # counts and checksums are of the whole
        return mask
    if layer.mask in _CHECKED and _mask_crc(mask, area) != layer.mask_crc:
        raise FormatError(f"{item.name}: its mask does not have the header's checksum; damaged")
    if int(mask.sum()) != layer.symbols:
        raise FormatError(f"{item.name}: the header counts other symbols than its mask; damaged")
    return mask


def _mask_crc(mask: Tensor, area: Area) -> int:
    crc = 0
    for region in area.tiles.values():
        crc = partition.mask_crc(crop(mask, area.coded(region), area.origin), crc)
    return crc


def _explicit_mask(item: LayerToDecode, prior: Prior, area: Area, free: Tensor) -> Tensor:
    mask = torch.zeros_like(free)
    for number, region in area.tiles.items():
        here = partial(crop, wanted=area.coded(region), origin=area.origin)
        tile = item.tile(number, area)
        if tile is None:
            raise FormatError(
                f"{item.name}: its mask is not in this part, and later layers need it"
            )
        if tile.symbols or not area.tiled:
            here(mask).copy_(coding.decode(tile.mask, here(free), here(prior.index)))
    return mask


def values_of(
    codec: BaseCodec, prior: Prior, symbols: Tensor, area: Area, quality: int, region: Region
) -> Tensor:
    """A region of the latent [1,M,h,w] for the synthesis: means, symbols on top, gain undone."""
    _, inverse = codec.gains(quality)
    mean = crop(prior.padded_mean, region, area.origin)
    y = latent_values(torch.zeros_like(mean), mean)
    coded = area.coded(region)
    (top, _), (left, _) = region
    crop(y, coded, (top, left)).copy_(
        latent_values(crop(symbols, coded, area.origin), crop(prior.mean, coded, area.origin))
    )
    return (y.to(inverse.device) * inverse[:, None, None])[None]
