"""Where the positions of a picture's latent lie, and the tiles of it that are worked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from icmhcodec.container import SQUARE, Region, tile_regions
from icmhcodec.entropy.regions import Size, clipped, scaled

LATENT_STRIDE, HYPER_STRIDE = 16, SQUARE


def padded_size(width: int, height: int) -> tuple[int, int]:
    """The size that the transforms work on: multiples of the hyper-latent's stride."""
    return width + -width % HYPER_STRIDE, height + -height % HYPER_STRIDE


def hyper_grid(width: int, height: int) -> Size:
    """Rows and columns of the hyper-latent."""
    return -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE)


def latent_grid(width: int, height: int) -> Size:
    """Rows and columns of the latent: the positions that touch the picture."""
    return -(-height // LATENT_STRIDE), -(-width // LATENT_STRIDE)


def padded_grid(width: int, height: int) -> Size:
    """Rows and columns of the latent of the padded picture, which has means everywhere."""
    columns, rows = padded_size(width, height)
    return rows // LATENT_STRIDE, columns // LATENT_STRIDE


@dataclass(frozen=True)
class Area:
    """Tiles of the latent of a picture, by their numbers, and the region that they fill.

    Regions are of positions of the padded latent; `coded` is what of one touches the picture.
    """

    width: int
    height: int
    tiles: Mapping[int, Region]
    total: int  # tiles of the picture

    @property
    def whole(self) -> bool:
        """Whether these are all the tiles of the picture."""
        return len(self.tiles) == self.total

    @property
    def tiled(self) -> bool:
        """Whether the picture has more than one tile."""
        return self.total > 1

    @property
    def region(self) -> Region:
        """The rectangle of all the tiles."""
        regions = list(self.tiles.values())
        first, last = regions[0], regions[-1]
        return (first[0][0], last[0][1]), (first[1][0], last[1][1])

    @property
    def origin(self) -> Size:
        """The first position of the region."""
        return self.region[0][0], self.region[1][0]

    def coded(self, region: Region) -> Region:
        """What of a region touches the picture: only there elements are coded."""
        return clipped(region, latent_grid(self.width, self.height))


def area_of(width: int, height: int, grid: tuple[int, int], wanted: Region | None = None) -> Area:
    """The tiles of a grid that a region of the latent touches, or all of them."""
    scale = HYPER_STRIDE // LATENT_STRIDE
    regions = [scaled(region, scale) for region in tile_regions(width, height, grid)]
    tiles = {
        number: region
        for number, region in enumerate(regions)
        if wanted is None or _touch(region, wanted)
    }
    return Area(width, height, tiles, len(regions))


def _touch(first: Region, second: Region) -> bool:
    return all(a[0] < b[1] and b[0] < a[1] for a, b in zip(first, second, strict=True))
