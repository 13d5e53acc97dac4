from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icmhcodec.bench import datasets
from icmhcodec.bench.datasets import coco
from icmhcodec.bench.datasets.classes import COCO_NAMES
from icmhcodec.errors import UsageError
from tests.bench.datasets import trees

SHARED = Path(__file__).parents[4] / "shared" / "data" / "coco206_val2017"


@pytest.mark.parametrize(
    ("root", "place"),
    [
        ("images", "instances_val2017.json"),
        ("val2017", "annotations/instances_val2017.json"),
        ("images/val2017", "annotations/instances_val2017.json"),
        (".", "boxes.json"),
    ],
)
def test_pictures_and_boxes(tmp_path, root, place):
    dataset = datasets.recognise(trees.coco(tmp_path, root, place), task="det")
    assert dataset.layout == "coco"
    assert dataset.notices == ()
    truths = {s.name: [a["id"] for a in s.truths["det"]] for s in dataset.samples}
    assert truths == {"1.jpg": [10, 11], "2.jpg": [12], "3.jpg": []}
    assert all(s.path.exists() for s in dataset.samples)


def test_the_validation_set_comes_first(tmp_path):
    trees.coco(tmp_path, "val2017", "annotations/instances_val2017.json")
    other = tmp_path / "annotations" / "instances_train2017.json"
    other.write_text('{"images": [], "annotations": [], "categories": []}')
    assert len(datasets.recognise(tmp_path).samples) == 3


def test_absent_pictures_are_an_error(tmp_path):
    folder = trees.coco(tmp_path)
    for path in (folder / "images").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="none of its pictures"):
        datasets.recognise(folder)


def test_masks_are_made_of_instances(tmp_path, monkeypatch):
    pytest.importorskip("pycocotools")
    monkeypatch.setenv("ICMH_CACHE", str(tmp_path / "cache"))
    samples = datasets.recognise(trees.coco(tmp_path / "set"), task="seg").samples
    assert [s.name for s in samples] == ["1.jpg"]  # a kite is none of VOC's
    labels = np.asarray(Image.open(samples[0].truths["seg"]))
    expected = np.zeros((6, 8), np.uint8)
    expected[:5, 2:7] = 6  # bus
    expected[:2, 4:6] = 15  # the smaller person over it
    np.testing.assert_array_equal(labels, expected)


def test_masks_that_are_there_are_taken(tmp_path):
    folder = trees.coco(tmp_path)
    mask = trees.picture(folder / "voc_masks" / "2.png")
    (sample,) = datasets.recognise(folder, task="seg").samples
    assert (sample.name, sample.truths["seg"]) == ("2.jpg", mask)


def test_crowds_are_ignored():
    pytest.importorskip("pycocotools")
    runs = {"size": [6, 8], "counts": [0, 6, 42]}  # the first column
    crowd = trees.annotation(1, 1, 1, 0, 3, iscrowd=1, segmentation=runs)
    labels = coco.instance_mask({"height": 6, "width": 8}, [crowd])
    assert labels[:, 0].tolist() == [255] * 6
    assert not labels[:, 1:].any()


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
def test_made_masks_equal_the_shared_ones():
    pytest.importorskip("pycocotools")
    found = coco.find(SHARED, "instances", lambda annotation: "bbox" in annotation)
    paths = sorted((SHARED / "voc_masks").iterdir())
    assert len(paths) == len(datasets.recognise(SHARED, task="seg").samples) == 167
    for path in paths[::8]:
        record = found.images[f"{path.stem}.jpg"]
        labels = coco.instance_mask(record, found.of_image[record["id"]])
        np.testing.assert_array_equal(labels, np.asarray(Image.open(path)))


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"images": 1})])
def test_other_json_files_are_passed(tmp_path, content):
    trees.picture(tmp_path / "a.png")
    (tmp_path / "instances.json").write_text(content)
    assert datasets.recognise(tmp_path).layout == "plain"


def renamed(folder: Path, **names: str) -> Path:
    """The tree with its categories, person, bus and kite, under other names."""
    path = trees.coco(folder) / "instances_val2017.json"
    data = json.loads(path.read_text())
    for category in data["categories"]:
        category["name"] = names.get(category["name"], category["name"])
    path.write_text(json.dumps(data))
    return folder


def test_categories_of_its_own_count_by_their_names(tmp_path):
    folder = renamed(tmp_path, person="Potted-Plant", bus="helmet", kite="tvmonitor")
    dataset = datasets.recognise(folder, task="det")
    truths = {s.name: [a["category_id"] for a in s.truths["det"]] for s in dataset.samples}
    assert truths == {"1.jpg": [64], "2.jpg": [72], "3.jpg": []}
    (notice,) = dataset.notices
    assert notice.endswith("classes do not have: helmet")
    assert [s.name for s in datasets.recognise(folder).samples] == ["1.jpg", "2.jpg", "3.jpg"]


def test_categories_that_no_network_knows_are_an_error(tmp_path):
    folder = renamed(tmp_path, person="vest", bus="helmet", kite="glove")
    for task in ("det", "seg"):
        with pytest.raises(UsageError, match=r"none of its categories .* helmet, vest, glove"):
            datasets.recognise(folder, task=task)
    assert len(datasets.recognise(folder, task="cls").samples) == 3  # agreement needs no truths


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
def test_cocos_names_are_cocos():
    data = json.loads((SHARED / "instances_val2017.json").read_text())
    assert {c["id"]: c["name"] for c in data["categories"]} == COCO_NAMES
