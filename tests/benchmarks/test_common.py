from __future__ import annotations

import json
import math

import click
import numpy as np
import pytest

from benchmarks import common
from icmhcodec.codecs import registry


def test_pictures_are_in_order_and_limited(photos):
    assert [path.name for path in common.pictures(photos)] == ["0.png", "1.png"]
    assert len(common.pictures(photos, 1)) == 1
    assert common.read(common.pictures(photos)[0]).shape == (64, 128, 3)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(click.ClickException, match="no PNG"):
        common.pictures(tmp_path)


def test_psnr():
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert common.psnr(grey, grey) == math.inf
    assert common.psnr(grey, grey + 1) == pytest.approx(20 * math.log10(255))
    assert common.psnr(grey + 1, grey) == common.psnr(grey, grey + 1)


def test_results_are_rounded_and_have_no_nan(tmp_path):
    target = tmp_path / "results" / "a.json"
    common.write_json(target, {"a": [1.23456789, math.nan], "b": {"c": 7, "d": True}})
    assert json.loads(target.read_text()) == {"a": [1.2346, None], "b": {"c": 7, "d": True}}
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


def test_a_task_without_a_bundle_gets_the_middle_quarter():
    codec = registry.load("test-tiny")
    options = common.layered_options(codec, ["det"], np.zeros((64, 128, 3), np.uint8))
    assert options["tasks"] == ["det"]
    assert options["masks"]["det"].sum() == 64 * 128 / 4
    assert "explicit" in common.weights(codec, ["det"])["det scalable predictor"]


def test_the_machine_is_described():
    machine = common.machine()
    assert machine["cpu"]
    assert machine["threads"] == 1
    assert set(machine["features"]) <= set(common.CPU_FEATURES)
