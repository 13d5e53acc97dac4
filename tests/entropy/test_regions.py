import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec.container import Region
from icmhcodec.entropy import regions
from icmhcodec.entropy.regions import DECONVOLUTION, Step, chain, convolution, upsampling


@st.composite
def regions_of(draw: st.DrawFn, height: int, width: int) -> Region:
    rows = sorted(draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True)))
    columns = sorted(draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True)))
    return (rows[0], rows[1]), (columns[0], columns[1])


@given(st.data(), st.integers(1, 9), st.integers(1, 9))
@settings(deadline=None, max_examples=50)
def test_what_a_plan_needs_is_enough(data: st.DataObject, height: int, width: int) -> None:
    """A chain of layers on a part gives the part of the chain on the whole."""
    size = 4 * height, 4 * width
    kernel = torch.randn(1, 1, 5, 5, dtype=torch.float64)
    four = torch.randn(4, 1, 5, 5, dtype=torch.float64)
    dense, wide, half = convolution(3), convolution(5), convolution(5, 2)
    double, wider = upsampling(1), upsampling(2)
    layers = {
        dense: lambda x: F.conv2d(x, kernel[..., :3, :3], padding=1),
        wide: lambda x: F.conv2d(x, kernel, padding=2),
        half: lambda x: F.conv2d(x, kernel, stride=2, padding=2),
        DECONVOLUTION: lambda x: F.conv_transpose2d(x, kernel, None, 2, 2, 1),
        double: lambda x: F.pixel_shuffle(F.conv2d(x, four[..., :3, :3], padding=1), 2),
        wider: lambda x: F.pixel_shuffle(F.conv2d(x, four, padding=2), 2),
        Step(): torch.tanh,
    }
    down, up = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))
    steps = [half] * down + data.draw(st.permutations([dense, wide, Step()]))
    steps += [data.draw(st.sampled_from([DECONVOLUTION, double, wider])) for _ in range(up)]
    x = torch.randn(1, 1, *size, dtype=torch.float64)
    whole = x
    for step in steps:
        whole = layers[step](whole)
    region = data.draw(regions_of(*whole.shape[2:]))
    if len(steps) > 1 and data.draw(st.booleans()):  # two of them as one
        first, second = steps[:2]
        steps[:2] = [chain(first, second)]
        layers[steps[0]] = lambda x: layers[second](layers[first](x))
    places = regions.plan(steps, size, region)
    part = regions.crop(x, places[0])
    for step, before, after in zip(steps, places, places[1:], strict=False):
        part = regions.cut(layers[step](part), step, before, after)
    torch.testing.assert_close(part, regions.crop(whole, region))


@pytest.mark.parametrize("left", range(1, 12))
def test_layers_taken_as_one_begin_where_each_of_them_can(left: int) -> None:
    half = convolution(5, 2)
    twice = chain(half, half)
    (first, last), apart = (
        twice.needed((left, left + 1)),
        half.needed(half.needed((left, left + 1))),
    )
    assert first % twice.down == 0
    assert apart[0] - twice.down < first <= apart[0]
    assert last == apart[1]


@given(st.data(), st.integers(1, 50), st.integers(1, 50), st.integers(1, 20))
@settings(deadline=None, max_examples=50)
def test_blocks_cover_a_region_once(
    data: st.DataObject, height: int, width: int, side: int
) -> None:
    region = data.draw(regions_of(height, width))
    covered = torch.zeros(height, width, dtype=torch.int64)
    for block in regions.blocks(region, side):
        assert max(regions.size_of(block)) <= side
        assert regions.coarse(block, side) == regions.coarse(
            ((block[0][0], block[0][0] + 1), (block[1][0], block[1][0] + 1)), side
        )
        regions.crop(covered, block).add_(1)
    wanted = torch.zeros_like(covered)
    regions.crop(wanted, region).add_(1)
    assert torch.equal(covered, wanted)


@pytest.mark.parametrize(
    ("region", "clipped"),
    [
        (((-3, 4), (2, 99)), ((0, 4), (2, 7))),
        (((8, 12), (1, 2)), ((5, 5), (1, 2))),
        (((-4, -1), (0, 7)), ((0, 0), (0, 7))),
    ],
)
def test_clipping_leaves_nothing_outside(region: Region, clipped: Region) -> None:
    assert regions.clipped(region, (5, 7)) == clipped


def test_scales() -> None:
    region = (2, 5), (0, 3)
    assert regions.scaled(region, 4) == ((8, 20), (0, 12))
    assert regions.coarse(regions.scaled(region, 4), 4) == region
    assert regions.coarse(region, 4) == ((0, 2), (0, 1))
    assert regions.grown(region, 2) == ((0, 7), (-2, 5))
