from __future__ import annotations

import json

import pytest

from benchmarks import common, rate
from tests.benchmarks.conftest import picture

pytest.importorskip("bjontegaard")


@pytest.fixture
def bench():
    return rate.Bench.load("test-tiny", "float32")


@pytest.fixture
def _short(monkeypatch):
    monkeypatch.setattr(rate, "QUALITIES", (2.0, 4.0, 6.0, 8.0))
    monkeypatch.setattr(rate, "SEARCHED", (3.0, 5.0, 7.0, 9.0))
    monkeypatch.setattr(rate, "EFFORT", 2)
    monkeypatch.setattr(rate, "OTHERS", {"JPEG": ({}, (5, 20, 50, 80, 95))})


def test_a_plain_picture(bench):
    row = rate.plain(bench, picture(64, 128), 6.0)
    assert row["symbols_add_up"]
    assert row["coded"] == row["elements"] == 12 * 4 * 8
    # a prior that nobody trained: its likelihoods stop at 1e-9, where an escape is cheaper
    assert row["coded_bits"] < 1.1 * row["model_bits"]
    assert row["integer_stage_bits"] == pytest.approx(row["float_stage_bits"], rel=0.01)
    stage = row["integer_stage_bits"] + row["model_hyper_bits"]
    assert row["coded_bits"] == pytest.approx(stage, rel=0.1)
    assert 8 * (64 * 128 * row["bpp"] / 8 - row["overhead"]) == pytest.approx(row["coded_bits"])


@pytest.mark.usefixtures("_short")
def test_the_summary_of_pictures(bench, photos, monkeypatch):
    monkeypatch.setattr(rate, "PUBLISHED", photos / "none.json")
    rows = [rate.measure(bench, path) for path in common.pictures(photos)]
    results = rate.summarise(rows)
    json.dumps(common.rounded(results), allow_nan=False)
    assert [row["quality"] for row in results["icmh"]] == [2, 4, 6, 8]
    assert all(row["symbols_add_up"] == 2 for row in results["icmh"])
    assert set(results["others"]) == {"JPEG"}
    assert [row["quality"] for row in results["searched"]["rows"]] == [3, 5, 7, 9]
    assert set(results["searched"]["bd_rate_percent"]) == {"JPEG", "icmh, effort 1"}
    rates = [row["bpp"] for row in results["icmh"]]
    assert rates == sorted(rates)
    without = [rate.measure(bench, path, effort=False) for path in common.pictures(photos)]
    assert rate.summarise(without) == {k: v for k, v in results.items() if k != "searched"}


def test_bd_rate_of_half_the_bits():
    anchor = {"bpp": [0.2, 0.4, 0.8, 1.6], "psnr": [28.0, 31.0, 34.0, 37.0]}
    own = {"bpp": [0.05, 0.1, 0.2, 0.4, 0.8], "psnr": [25.0, 28.0, 31.0, 34.0, 37.0]}
    assert rate.bd_rate(own, anchor, "psnr") == pytest.approx(-50, abs=0.5)
    assert rate.bd_rate(own, anchor, "ms_ssim") is None
    apart = anchor | {"psnr": [50.0, 51.0, 52.0, 53.0]}
    assert rate.bd_rate(own, apart, "psnr") is None


def test_the_published_curve(tmp_path):
    assert rate.published(tmp_path / "none.json") is None
    if not rate.PUBLISHED.exists():
        pytest.skip("../shared/reference/kodak_published.json is not here")
    curve = rate.published(rate.PUBLISHED)
    assert len(curve["bpp"]) == len(curve["psnr"]) == 8
