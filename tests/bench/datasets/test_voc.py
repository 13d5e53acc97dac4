from __future__ import annotations

import pytest

from icmhcodec.bench import datasets
from icmhcodec.bench.datasets.classes import COCO_ID_OF_VOC, COCO_NAMES, VOC_CLASSES
from icmhcodec.errors import UsageError
from icmhcodec.tasks.detection import COCO_IDS
from tests.bench.datasets import trees


def test_the_classes_are_vocs():
    assert len(VOC_CLASSES) == 21
    assert list(VOC_CLASSES[1:]) == sorted(VOC_CLASSES[1:])
    assert len(set(COCO_ID_OF_VOC.values())) == 20
    assert set(COCO_ID_OF_VOC.values()) <= set(COCO_IDS.tolist()) == set(COCO_NAMES)


def test_boxes_in_cocos_terms(tmp_path):
    samples = datasets.recognise(trees.voc(tmp_path), task="det").samples
    boxes = {s.name: s.truths["det"] for s in samples}
    dog = {"id": 1, "category_id": 18, "bbox": [1, 0, 4, 4], "area": 16, "iscrowd": 0}
    assert boxes == {"a": [dog], "b": [dog | {"category_id": 63, "iscrowd": 1}]}


def test_masks(tmp_path):
    (sample,) = datasets.recognise(trees.voc(tmp_path), task="seg").samples
    assert sample.name == "b"
    assert sample.truths["seg"] == tmp_path / "SegmentationClass" / "b.png"


def test_without_a_task_all_pictures_count(tmp_path):
    assert [s.name for s in datasets.recognise(trees.voc(tmp_path)).samples] == ["a", "b", "c"]


def test_a_validation_list_counts(tmp_path):
    listed = trees.voc(tmp_path) / "ImageSets" / "Main" / "val.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("b 1\nabsent\n")
    assert [s.name for s in datasets.recognise(tmp_path, task="det").samples] == ["b"]


@pytest.mark.parametrize(
    "text", ["<broken", trees.VOC_XML.format(name="unicorn", difficult=0), "<a><object/></a>"]
)
def test_what_is_no_annotation_is_named(tmp_path, text):
    path = trees.voc(tmp_path) / "Annotations" / "a.xml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"a\.xml: not an annotation"):
        datasets.recognise(tmp_path, task="det")


def test_nothing_for_the_task_is_an_error(tmp_path):
    (trees.voc(tmp_path) / "SegmentationClass" / "b.png").unlink()
    with pytest.raises(UsageError, match="what task seg needs"):
        datasets.recognise(tmp_path, task="seg")
