import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from icmhcodec.errors import UsageError
from icmhcodec.training import photos

from .conftest import crops_of, paint


def test_names_alone_hold_out_a_twentieth() -> None:
    paths = [Path(f"{folder}/{k}.jpg") for folder in "ab" for k in range(4000)]
    chosen = [photos.held_out(path) for path in paths]
    assert 0.04 < np.mean(chosen) < 0.06
    assert chosen[:4000] == chosen[4000:]


def test_small_and_broken_files_are_passed(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG no more")
    whole = (folder / "00.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:60] + bytes(40) + whole[100:])
    found = photos.load(folder, 64, tmp_path / "cache")
    names = [Path(photo.path).name for photo in (*found.training, *found.held_out)]
    assert sorted(names) == [f"{k:02}.png" for k in range(20)]
    assert {photos.held_out(Path(photo.path)) for photo in found.training} == {False}
    with pytest.raises(UsageError, match="fewer than two photos of at least 91"):
        photos.load(folder, 91, tmp_path / "cache")


def test_of_few_photos_one_is_held_out(tmp_path: Path) -> None:
    found = photos.load(paint(tmp_path / "few", 3), 64, tmp_path)
    assert (len(found.training), len(found.held_out)) == (2, 1)


def test_many_photos_are_told_apart_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [photos.Photo(f"{k}.jpg", 64, 64, -1) for k in range(2000)]
    compared: list[object] = []
    monkeypatch.setattr(photos, "_cached", lambda *_: many)
    monkeypatch.setattr(photos.Photo, "__eq__", lambda a, b: compared.append(a) or a is b)
    found = photos.load(tmp_path, 64, tmp_path)
    assert len(found.training) + len(found.held_out) == 2000
    assert len(compared) < 2000


def test_a_file_of_the_run_is_no_photo(folder: Path, tmp_path: Path) -> None:
    found = photos.load(folder, 64, tmp_path, but=folder / "00.png")
    names = {Path(photo.path).name for photo in (*found.training, *found.held_out)}
    assert names == {f"{k:02}.png" for k in range(1, 20)}


def test_photos_are_decoded_once_and_again_when_they_change(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = photos.load(folder, 64, tmp_path)
    assert first.cache.stat().st_size == 20 * 100 * 90 * 3 + 9 * 10 * 3
    decoded: list[Path] = []
    decode = photos._decode
    monkeypatch.setattr(photos, "_decode", lambda path: decoded.append(path) or decode(path))
    assert photos.load(folder, 64, tmp_path) == first
    assert decoded == []
    os.utime(folder / "00.png", (1, 1))
    assert photos.load(folder, 64, tmp_path) == first
    assert len(decoded) == 21


def test_what_does_not_fit_the_cache_gives_the_same_crops(folder: Path, tmp_path: Path) -> None:
    whole = crops_of(folder)
    found = photos.load(folder, 64, tmp_path / "small", limit=5 * 100 * 90 * 3)
    assert [photo.offset < 0 for photo in (*found.training, *found.held_out)].count(False) == 5
    part = replace(whole, photos=found)
    assert all(torch.equal(whole[step], part[step]) for step in range(4))


def test_crops_follow_from_the_step_alone(folder: Path) -> None:
    crops = crops_of(folder)
    assert crops[3].shape == (2, 64, 64, 3)
    assert torch.equal(crops[3], crops[3])
    assert not torch.equal(crops[3], crops[4])
    assert not torch.equal(crops[3], replace(crops, seed=1)[3])
    parts = [replace(crops, rank=rank, processes=2)[3] for rank in range(2)]
    assert torch.equal(torch.cat(parts), crops[3])


def test_a_worker_cuts_the_same_crops(folder: Path) -> None:
    crops = crops_of(folder)
    before = torch.get_rng_state()
    for step, batch in zip(range(5, 8), crops.from_step(5, 1), strict=False):
        assert torch.equal(batch, crops[step])
    assert torch.equal(torch.get_rng_state(), before)


def test_scales_and_orientations(tmp_path: Path) -> None:
    folder = tmp_path / "ramp"
    folder.mkdir()
    ramp = np.tile(np.arange(0, 256, 2, dtype=np.uint8)[None, :, None], (128, 1, 3))
    for k in range(3):
        Image.fromarray(ramp).save(folder / f"{k}.png")
    crops = replace(crops_of(folder), batch=1, scales=(1.0, 0.5))
    slopes = set()
    for step in range(60):
        x = crops[step][0, :, :, 0].float()
        slopes.add((round(float(x[32, 40] - x[32, 20])), round(float(x[40, 32] - x[20, 32]))))
    assert slopes >= {(40, 0), (-40, 0), (0, 40), (0, -40), (80, 0), (0, 80)}
    upright = replace(crops, turn=False, mirror=False, scales=(1.0,))
    x = upright[0][0, :, :, 0]
    assert (x.int().diff(dim=1) == 2).all()


def test_held_out_middles_are_fixed(folder: Path) -> None:
    middles = crops_of(folder).held_out(3)
    assert middles.shape[1:] == (64, 64, 3)
    assert 1 <= len(middles) <= 3


def test_input_of_crops() -> None:
    x = photos.to_input(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8), "cpu")
    assert x.shape == (1, 3, 1, 1)
    assert torch.allclose(x.flatten(), torch.tensor([0, 0.2, 1]))


def test_what_pillow_raises_of_a_file_does_not_end_the_reading(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = photos._decode

    def broken(path: Path) -> photos.Pixels:
        if path.name == "03.png":
            raise SyntaxError("broken PNG file")
        return decode(path)

    monkeypatch.setattr(photos, "_decode", broken)
    found = photos.load(folder, 64, tmp_path)
    assert len(found.training) + len(found.held_out) == 19


def test_pixels_without_their_index_are_decoded_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = photos.load(folder, 64, tmp_path)
    (folder / "00.png").rename(tmp_path / "away.png")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            photos.load(folder, 64, tmp_path)
    (tmp_path / "away.png").rename(folder / "00.png")  # as it was
    again = photos.load(folder, 64, tmp_path)
    assert len(again.training) + len(again.held_out) == 20
    assert all(np.array_equal(again.pixels(p), first.pixels(p)) for p in again.training)
