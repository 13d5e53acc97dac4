"""Tiled pictures: the same integers, regions alone, and seams that nobody sees."""

import numpy as np
import pytest
import torch

from icmhcodec import container
from icmhcodec.container import MaskKind, inspect, parse
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.imageio import Picture
from icmhcodec.pipeline import blocks, encode, latent, search
from icmhcodec.pipeline.area import area_of
from icmhcodec.pipeline.codec import Codec
from icmhcodec.pipeline.info import info
from tests.attacks.forgery import with_header
from tests.container.samples import bounds, resealed
from tests.pipeline.conftest import photo

PICTURE = photo(200, 330)
CROPS = [(0, 0, 330, 200), (70, 60, 100, 90), (329, 199, 1, 1), (128, 64, 64, 64), (0, 190, 330, 1)]


def box() -> np.ndarray:
    mask = np.zeros(PICTURE.shape[:2], bool)
    mask[20:40, 50:90] = True
    return mask


@pytest.fixture(
    params=["plain", "tasks", "portable", "positions", "nothing"],
)
def options(request: pytest.FixtureRequest) -> dict[str, object]:
    return {
        "plain": {"quality": 5},
        "tasks": {"tasks": ["cls:1", "det:3"], "quality": 6},
        "portable": {"tasks": ["det"], "portable": True},
        "positions": {"tasks": ["det", "seg"], "masks": {"det": box()}},
        "nothing": {"tasks": ["det"], "masks": {"det": box() & False}},
    }[request.param]


def test_tiles_change_the_order_alone(codec: Codec, options: dict[str, object]) -> None:
    plain = codec.encode(PICTURE, **options).data  # type: ignore[arg-type]
    tiled = codec.encode(PICTURE, tile=128, **options).data  # type: ignore[arg-type]
    assert parse(tiled).header.tiles == (3, 2)
    assert codec.verify(tiled, full=True) == []
    found, wanted = codec.symbols(tiled), codec.symbols(plain)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in found)
    counts = [[layer.symbols for layer in parse(d).header.layers] for d in (plain, tiled)]
    assert counts[0] == counts[1]
    for layer in parse(plain).header.layers:
        pictures = [codec.decode(d, task=layer.task).picture.pixels for d in (plain, tiled)]
        assert np.array_equal(*pictures)


@pytest.mark.parametrize("tile", [0, 64, 128])
@pytest.mark.parametrize("task", [None, "det"])
def test_a_region_is_that_of_the_whole(codec: Codec, tile: int, task: str | None) -> None:
    data = codec.encode(PICTURE, tasks=["cls:1", "det"], quality=7, tile=tile).data
    whole = codec.decode(data, task=task).picture.pixels
    for x, y, width, height in CROPS:
        part = codec.decode(data, task=task, crop=(x, y, width, height)).picture.pixels
        assert part.shape == (height, width, 3)
        assert np.abs(whole[y : y + height, x : x + width].astype(int) - part).max() <= 1


def test_a_region_needs_only_its_tiles(codec: Codec) -> None:
    """Segments of tiles far from the region may be broken, of the region's not."""
    data = codec.encode(photo(128, 640), tile=64, skip=0).data
    header = parse(data).header
    assert header.tiles == (10, 2)
    expected = codec.decode(data, crop=(0, 0, 50, 50)).picture.pixels
    chunk = inspect(data)[-1]
    start, end = bounds(data, chunk.offset)
    far = bytearray(data[start:end])
    far[-40:] = b"\xff" * 40  # in the last tile
    broken = with_header(resealed(data, chunk.offset, bytes(far)), header)
    assert codec.verify(broken) == []
    with pytest.raises(FormatError):
        codec.decode(broken)
    assert np.array_equal(codec.decode(broken, crop=(0, 0, 50, 50)).picture.pixels, expected)
    with pytest.raises(FormatError):
        codec.decode(broken, crop=(600, 100, 20, 20))


def test_a_tile_that_decodes_to_other_symbols_is_found_in_a_region(codec: Codec) -> None:
    data = codec.encode(photo(128, 256), tile=128).data
    file = parse(data)
    tiles = list(file.layers[0].tiles)
    tiles[0] = container.Tile(tiles[0].symbols, tiles[0].crc ^ 1, b"", tiles[0].segments)
    layers = {0: container.LayerData(tiles=tuple(tiles))}
    wrong = container.build(file.header, file.hyper, layers)
    with pytest.raises(FormatError, match="tile 0"):
        codec.decode(wrong, crop=(0, 0, 8, 8))
    assert codec.decode(wrong, crop=(250, 0, 6, 8)).layer == "human"
    assert "tile 0" in codec.verify(wrong, full=True)[0]


def test_alpha_and_metadata_of_a_region(codec: Codec) -> None:
    picture = Picture(PICTURE, alpha=photo(200, 330, 1)[:, :, 0], icc=b"profile")
    data = codec.encode(picture, tile=64).data
    part = codec.decode(data, crop=(100, 50, 80, 70)).picture
    assert part.icc == b"profile"
    assert picture.alpha is not None
    assert np.array_equal(part.alpha, picture.alpha[50:120, 100:180])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "crop", [(-1, 0, 5, 5), (0, 0, 331, 5), (0, 0, 5, 0), (330, 0, 1, 1), (0, 199, 5, 2)]
)
def test_regions_outside_of_the_picture_are_refused(
    codec: Codec, crop: tuple[int, int, int, int]
) -> None:
    data = codec.encode(PICTURE, tile=128).data
    with pytest.raises(UsageError, match="330x200 pixels"):
        codec.decode(data, crop=crop)


def test_tiled_parts_split_join_and_decode_partially(codec: Codec) -> None:
    data = codec.encode(PICTURE, tasks=["det"], tile=128).data
    part, rest = container.split(data, ["det"]), container.rest(data, ["det"])
    assert data.startswith(part)
    assert container.join([rest, part]) == data
    whole = codec.decode(data, task="det").picture.pixels
    assert np.array_equal(codec.decode(part).picture.pixels, whole)
    half = data[: len(part) + 50]
    with pytest.raises(FormatError):
        codec.decode(half)
    found = codec.decode(half, partial=True)
    assert found.layer == "det"
    assert np.array_equal(found.picture.pixels, whole)
    crop = codec.decode(half, partial=True, crop=(9, 9, 30, 20)).picture.pixels
    assert np.abs(crop.astype(int) - whole[9:29, 9:39]).max() <= 1


def test_the_table_of_tiles_is_overhead(codec: Codec) -> None:
    plain, tiled = (codec.encode(PICTURE, tile=tile).data for tile in (0, 64))
    grid = info(tiled)["tiles"]
    assert grid == {"columns": 6, "rows": 4}
    assert 6 * 24 <= info(tiled)["overhead"] - info(plain)["overhead"] <= 12 * 24


@pytest.mark.parametrize("side", [1, 63, 100, -64])
def test_sides_that_are_no_multiple_of_64_are_refused(codec: Codec, side: int) -> None:
    with pytest.raises(UsageError, match="64"):
        codec.encode(PICTURE, tile=side)


def test_too_many_tiles_are_refused_before_any_work(codec: Codec) -> None:
    with pytest.raises(UsageError, match="larger tiles"):
        codec.encode(np.zeros((64, 64 * 4100, 1), np.uint8), tile=64)


def test_large_pictures_are_tiled_unless_asked_otherwise(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "UNTILED", PICTURE[:, :, 0].size - 1)
    monkeypatch.setattr(encode, "TILE", 128)
    assert parse(codec.encode(PICTURE).data).header.tiles == (3, 2)
    assert parse(codec.encode(PICTURE, tile=0).data).header.tiles == (1, 1)


def test_the_search_of_a_large_picture_takes_few_tries(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [len(codec.encode(PICTURE, quality=q, tile=128).data) for q in (1, 6)]
    tries = []
    file = encode._file
    monkeypatch.setattr(encode, "UNTILED", PICTURE[:, :, 0].size - 1)
    monkeypatch.setattr(encode, "TILE", 128)
    monkeypatch.setattr(encode, "SAMPLE", 128 * 128)
    monkeypatch.setattr(encode, "PATCH", 64)

    def counted(*arguments: object) -> encode.Encoded:
        encoded: encode.Encoded = file(*arguments)  # type: ignore[arg-type]
        tries.append(parse(encoded.data).header.tiled)
        return encoded

    monkeypatch.setattr(encode, "_file", counted)
    for target in (limits[0], sum(limits) // 2):
        tries.clear()
        encoded = codec.encode(PICTURE, size=target)
        assert encoded.met
        assert (1 - 2 * search.SLACK) * target <= len(encoded.data) <= target
        assert sum(tries) <= 8
    assert not codec.encode(PICTURE, size=60).met


def test_seams_are_as_good_as_the_rest(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Along borders of tiles and blocks the error is that of the untiled picture."""
    picture = photo(256, 384)
    whole = codec.decode(codec.encode(picture, tile=0).data).picture.pixels
    monkeypatch.setattr(blocks, "WHOLE", 0)
    monkeypatch.setattr(blocks, "SIDE", 64)
    tiled = codec.decode(codec.encode(picture, tile=64).data).picture.pixels
    seam = np.zeros(picture.shape[:2], bool)
    for at in range(64, 384, 64):
        seam[:, at - 4 : at + 4] = True
        seam[at - 4 : at + 4] = True

    def psnr(decoded: np.ndarray, where: np.ndarray) -> float:
        error = (decoded[where].astype(float) - picture[where]) ** 2
        return float(10 * np.log10(255**2 / error.mean()))

    at_seams, elsewhere = (psnr(tiled, where) - psnr(whole, where) for where in (seam, ~seam))
    assert abs(at_seams) < 0.02
    assert abs(at_seams - elsewhere) < 0.02


def test_layers_are_disjoint_and_cover_what_is_coded(codec: Codec) -> None:
    data = codec.encode(PICTURE, tasks=["cls:1", "det:2", "seg:4"], tile=128, skip=3).data
    plain = codec.encode(PICTURE, tile=0, skip=3).data
    layers = parse(data).header.layers
    assert {layer.mask for layer in layers[:3]} == {MaskKind.DERIVED}
    assert sum(layer.symbols > 0 for layer in layers) >= 2
    total = sum(layer.symbols for layer in layers)
    assert total == parse(plain).header.layers[0].symbols
    found, wanted = codec.symbols(data), codec.symbols(plain)
    assert torch.equal(found["layer 3 human"], wanted["layer 0 human"])
    earlier = found["layer 0 cls"]
    for name in ("layer 1 det", "layer 2 seg", "layer 3 human"):
        assert torch.equal(found[name][earlier != 0], earlier[earlier != 0])
        earlier = found[name]


def test_a_view_of_padding_alone_is_at_its_means(codec: Codec) -> None:
    base = codec._networks.base("test-tiny", torch.float32)
    area = area_of(65, 65, (1, 1))
    z = torch.zeros(base.hyper_channels, 2, 2, dtype=torch.int32)
    group = parse(codec.encode(photo(65, 65)).data).header.groups[0]
    prior, symbols = latent.decode_layers(base, z, group, area, [])
    _, inverse = base.gains(group.quality)
    y = latent.values_of(base, prior, symbols, area, group.quality, ((5, 8), (5, 8)))
    mean = prior.padded_mean[:, 5:8, 5:8].float() / 256
    assert torch.equal(y[0], mean * inverse[:, None, None])
