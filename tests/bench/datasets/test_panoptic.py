from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from icmhcodec.bench import datasets
from icmhcodec.errors import UsageError
from tests.bench.datasets import trees


def test_things_have_boxes(tmp_path):
    samples = datasets.recognise(trees.panoptic(tmp_path), task="det").samples
    boxes = {s.name: [(a["category_id"], a["bbox"]) for a in s.truths["det"]] for s in samples}
    assert boxes == {"1.jpg": [(18, [0, 0, 3, 2])], "2.jpg": []}


def test_masks_are_made_of_segments(tmp_path, monkeypatch):
    monkeypatch.setenv("ICMH_CACHE", str(tmp_path / "cache"))
    (sample,) = datasets.recognise(trees.panoptic(tmp_path / "set"), task="seg").samples
    expected = np.zeros((6, 8), np.uint8)
    expected[:2, :3] = 12  # dog
    assert sample.name == "1.jpg"
    np.testing.assert_array_equal(np.asarray(Image.open(sample.truths["seg"])), expected)


def test_absent_pngs_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("ICMH_CACHE", str(tmp_path / "cache"))
    folder = trees.panoptic(tmp_path / "set")
    shutil.rmtree(folder / "annotations" / "panoptic_val2017")
    with pytest.raises(UsageError, match="PNGs are missing"):
        datasets.recognise(folder, task="seg")


def test_things_count_by_their_names(tmp_path):
    path = trees.panoptic(tmp_path) / "annotations" / "panoptic_val2017.json"
    text = path.read_text()
    path.write_text(text.replace('"dog"', '"cat"'))
    samples = datasets.recognise(tmp_path, task="det").samples
    assert [a["category_id"] for a in samples[0].truths["det"]] == [17]
    path.write_text(text.replace('"dog"', '"gnu"'))
    with pytest.raises(UsageError, match=r"none of its categories .* gnu, grass-merged"):
        datasets.recognise(tmp_path, task="det")
