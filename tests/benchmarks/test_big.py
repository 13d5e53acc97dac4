from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import big
from tests.benchmarks.conftest import picture


def test_a_mosaic_keeps_photos_edges_off_the_borders(photos):
    paths = sorted(photos.glob("*.png"))
    canvas = big.mosaic(paths, 500, 400)
    assert canvas.shape == (400, 500, 3)
    first, second = (picture(64, 128, number) for number in range(2))
    row, place = divmod(big.SHIFT, 64)[0], divmod(big.SHIFT, 128)[0]
    expected = (first, second)[(5 * row + place) % 2]
    assert np.array_equal(canvas[0, 0], expected[big.SHIFT % 64, big.SHIFT % 128])


def test_bands_lie_along_the_borders():
    distance = big._distance(8, {4})
    assert distance.tolist() == [3, 2, 1, 0, 0, 1, 2, 3]
    assert big._distance(4, set()).min() == 4


def test_seams_are_told_from_the_rest():
    first = picture(128, 256)
    second = first ^ 1  # 48.13 dB everywhere
    found = big.seams(first, second, (2, 1))
    assert found == pytest.approx(dict.fromkeys(("borders", "beside", "elsewhere"), 48.1308))
    second[:, 120:136] ^= 2
    found = big.seams(first, second, (2, 1))
    assert found["borders"] < found["beside"] == pytest.approx(found["elsewhere"])


def test_a_process_of_its_own_tells_what_it_took():
    found = big.alone(partial(dict, quality=4.0))
    assert found["quality"] == 4.0
    assert found["peak_bytes"] > 1 << 20
    assert found["seconds"] >= 0


def test_a_small_run(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(big, "alone", lambda work: {"seconds": 1.0, "peak_bytes": 1, **work()})
    out = tmp_path / "big.json"
    sizes = ["--side", "200", "130", "--crop", "20", "10", "50", "40", "--tile", "64"]
    arguments = [*sizes, "--base", "test-tiny", "--threads", "1", "--data", str(photos)]
    result = CliRunner().invoke(big.main, [*arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert found["picture"]["tiles"] == [4, 3]
    assert found["crop"]["most_levels_off"] <= 1
    assert set(found["runs"]) == {"encode", "decode", "decode_crop"}
    assert found["within_memory"]
