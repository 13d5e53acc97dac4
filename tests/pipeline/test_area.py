from icmhcodec.pipeline.area import area_of, latent_grid, padded_grid, padded_size


def test_grids_of_a_picture() -> None:
    assert padded_size(65, 64) == (128, 64)
    assert latent_grid(65, 64) == (4, 5)
    assert padded_grid(65, 64) == (4, 8)


def test_an_area_is_the_tiles_that_a_region_touches() -> None:
    whole = area_of(500, 300, (4, 5))  # tiles of 2x1 squares, the last column padded
    assert whole.whole
    assert whole.region == ((0, 20), (0, 32))
    assert whole.coded(whole.region) == ((0, 19), (0, 32))
    part = area_of(500, 300, (4, 5), ((4, 9), (8, 9)))
    assert list(part.tiles) == [5, 9]
    assert part.region == ((4, 12), (8, 16))
    assert part.origin == (4, 8)
    assert not part.whole
    assert part.tiled


def test_an_untiled_picture_is_always_whole() -> None:
    area = area_of(500, 300, (1, 1), ((3, 4), (5, 6)))
    assert area.whole
    assert not area.tiled
