from __future__ import annotations

import json

import pytest

from benchmarks import common, layers
from tests.benchmarks.conftest import picture


@pytest.fixture
def bench():
    return layers.Bench.load("test-tiny", "float32", ("det", "cls,det,seg"))


def test_a_picture_of_three_layers(bench):
    row = layers.scalable(bench, picture(64, 128), ["cls", "det", "seg"], 5.0)
    assert row["identical"]
    assert row["symbols_add_up"]
    assert row["rejoined"]
    assert row["layer_size"] < row["size"]


def test_the_summary_of_pictures(bench, photos, monkeypatch):
    monkeypatch.setattr(layers, "QUALITIES", (3.0, 6.0))
    results = layers.summarise(bench, [layers.measure(bench, p) for p in common.pictures(photos)])
    json.dumps(common.rounded(results), allow_nan=False)
    rows = results["scalable"]
    assert [(row["tasks"], row["quality"]) for row in rows] == [
        ("det", 3.0), ("det", 6.0), ("cls,det,seg", 3.0), ("cls,det,seg", 6.0),
    ]  # fmt: skip
    assert all(row["human_identical"] == row["rejoined"] == row["pictures"] == 2 for row in rows)
    assert results["machine"] == []  # no bundle of it on this codec


def test_files_that_do_not_come_back_are_seen(bench, monkeypatch):
    monkeypatch.setattr(layers.container, "join", lambda parts: b"".join(parts))
    assert not layers.scalable(bench, picture(64, 64), ["det"], 5.0)["rejoined"]
