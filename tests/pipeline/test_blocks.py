from functools import partial

import numpy as np
import pytest
import torch

from icmhcodec.codecs import registry
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.entropy.regions import crop, whole
from icmhcodec.pipeline import blocks
from icmhcodec.pipeline.area import padded_grid
from tests.pipeline.conftest import BASE, photo

SIZES = [(150, 200), (64, 129), (250, 1), (3, 300)]


@pytest.fixture
def base() -> BaseCodec:
    return registry.load(BASE)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "WHOLE", 0)
    monkeypatch.setattr(blocks, "SIDE", 64)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_blocks_give_what_the_whole_gives(
    base: BaseCodec, size: tuple[int, int], channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = photo(*size, channels)
    height, width = size
    gain, _ = base.gains(1500)

    def results() -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        y = blocks.analysis(base, pixels)
        z = blocks.hyper_analysis(base, y, gain)
        region = whole((height, width))
        read = partial(crop, y)
        return y, z, blocks.synthesis(base, read, (width, height), region, (), channels, 8)

    y, z, decoded = results()
    monkeypatch.setattr(blocks, "WHOLE", 0)
    monkeypatch.setattr(blocks, "SIDE", 64)
    found_y, found_z, found = results()
    torch.testing.assert_close(found_y, y, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found_z, z, rtol=1e-4, atol=1e-4)
    assert found.shape == decoded.shape == pixels.shape
    assert np.abs(found.astype(int) - decoded).max() <= 1


@pytest.mark.usefixtures("small_blocks")
@torch.no_grad()
def test_a_region_reads_no_more_than_it_needs(base: BaseCodec) -> None:
    size = 200, 150
    y = blocks.analysis(base, photo(150, 200))
    region = (40, 110), (100, 131)
    needed = blocks.needed(base, size, region, ())
    assert needed == ((0, 9), (4, 11))
    only = torch.full_like(y, torch.nan)
    crop(only, needed).copy_(crop(y, needed))
    part, all_of_it = (
        blocks.synthesis(base, partial(crop, x), size, r, (), 3, 16)
        for x, r in ((only, region), (y, whole(size[::-1])))
    )
    assert part.dtype == np.uint16
    (top, bottom), (left, right) = region
    difference = part.astype(int) - all_of_it[top:bottom, left:right]
    assert np.abs(difference).max() <= 1
    assert padded_grid(*size) == tuple(y.shape[2:])
