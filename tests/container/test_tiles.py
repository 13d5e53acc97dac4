import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmhcodec.container.tiles import count_of, tile_regions, valid_count

lengths = st.integers(1, 20_000)


@given(lengths, lengths, st.integers(1, 40), st.integers(1, 40))
def test_tiles_of_a_valid_grid_cover_the_picture(
    width: int, height: int, columns: int, rows: int
) -> None:
    if not (valid_count(width, columns) and valid_count(height, rows)):
        return
    regions = tile_regions(width, height, (columns, rows))
    assert len(regions) == columns * rows
    assert all(a < b for region in regions for a, b in region)
    area = sum((b - a) * (d - c) for (a, b), (c, d) in regions)
    assert area == -(-width // 64) * -(-height // 64)
    assert regions == sorted(regions)


@given(lengths, st.integers(1, 30))
def test_a_side_gives_a_valid_grid_of_tiles_no_larger(length: int, squares: int) -> None:
    count = count_of(length, 64 * squares)
    assert valid_count(length, count)
    regions = tile_regions(length, 1, (count, 1))
    assert max(end - start for _, (start, end) in regions) <= squares


@given(lengths)
def test_no_two_grids_are_the_same(length: int) -> None:
    valid = [count for count in range(1, -(-length // 64) + 3) if valid_count(length, count)]
    grids = {tuple(tile_regions(length, 1, (count, 1))) for count in valid}
    assert len(grids) == len(valid)
    assert valid[0] == 1
    assert valid[-1] == -(-length // 64)


@pytest.mark.parametrize("count", [0, -1, 3, 5, 2**32])
def test_grids_with_empty_tiles_are_not_valid(count: int) -> None:
    assert not valid_count(256, count)
