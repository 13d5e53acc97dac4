from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from icmhcodec.tasks import detection
from icmhcodec.tasks.detection import Detections

COCO = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco206_val2017"


def found(*objects):
    """Detections from (x1, y1, x2, y2, score, class)."""
    rows = np.array(objects, np.float64).reshape(-1, 6)
    return Detections(
        rows[:, :4].astype(np.float32), rows[:, 4].astype(np.float32), rows[:, 5].astype(np.int64)
    )


def suppressed(objects, overlap=0.65):
    d = found(*objects)
    return detection.suppress(d.boxes, d.scores, d.classes, overlap).tolist()


@pytest.fixture
def truth(tmp_path):
    """Two pictures: two cats and a dog on the first, a cat on the second."""
    boxes = [(1, 17, (10, 10, 50, 50)), (1, 17, (100, 100, 40, 40)), (1, 18, (200, 0, 30, 60))]
    boxes.append((2, 17, (0, 0, 80, 80)))
    annotations = [
        {"id": i, "image_id": p, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
        for i, (p, c, b) in enumerate(boxes, 1)
    ]
    path = tmp_path / "truth.json"
    categories = [{"id": int(c)} for c in detection.COCO_IDS]
    images = [{"id": 1}, {"id": 2}]
    dataset = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(dataset))
    return detection.read_truth(path)


PERFECT = {
    1: found((10, 10, 60, 60, 0.9, 17), (100, 100, 140, 140, 0.8, 17), (200, 0, 230, 60, 0.7, 18)),
    2: found((0, 0, 80, 80, 0.6, 17)),
}


def test_the_class_ids_are_cocos():
    assert len(detection.COCO_IDS) == 80
    assert detection.COCO_IDS[[0, 11, 79]].tolist() == [1, 13, 90]


def test_suppression_is_greedy_and_class_wise():
    objects = [(0, 0, 10, 10, 0.5, 1), (0, 0, 10, 9, 0.9, 1), (0, 0, 10, 10, 0.4, 2)]
    assert suppressed(objects) == [1, 2]
    assert suppressed(objects, overlap=0.9) == [1, 0, 2]  # exactly 0.9 stays


def test_a_suppressed_box_suppresses_nothing():
    assert suppressed([(0, 0, 10, 10, 0.9, 1), (2, 0, 12, 10, 0.8, 1), (4, 0, 14, 10, 0.7, 1)]) == [
        0,
        2,
    ]


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


box = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(box, st.integers(0, 20), st.integers(1, 3)), max_size=12))
def test_suppression_equals_its_definition(objects):
    rows = [(x, y, x + w, y + h, s / 20, c) for (x, y, w, h), s, c in objects]
    expected = []
    for i in sorted(range(len(rows)), key=lambda i: -rows[i][4]):
        rivals = [rows[k] for k in expected if rows[k][5] == rows[i][5]]
        if all(iou(rows[i], rival) <= 0.651 for rival in rivals):
            expected.append(i)
    assert suppressed(rows, 0.651) == expected


def test_perfect_detections_score_100(truth, capsys):
    assert detection.average_precision(PERFECT, truth) == {"AP": 100, "AP50": 100}
    assert capsys.readouterr().out == ""


def test_a_loose_box_counts_for_ap50_only(truth):
    loose = {1: PERFECT[1], 2: found((0, 0, 80, 50, 0.6, 17))}  # IoU 0.625
    scores = detection.average_precision(loose, truth)
    assert scores["AP50"] == pytest.approx(100)
    assert 70 < scores["AP"] < 95


def test_only_the_predicted_pictures_count(truth):
    assert detection.average_precision({2: PERFECT[2]}, truth)["AP"] == pytest.approx(100)
    missing = {1: PERFECT[1], 2: found()}
    # class 17 has recall 2/3: 67 of 101 recall points; class 18 all
    expected = (67 / 101 + 1) / 2 * 100
    assert detection.average_precision(missing, truth)["AP"] == pytest.approx(expected)


def test_no_detections_score_0_and_no_objects_nan(truth):
    assert detection.average_precision({1: found(), 2: found()}, truth) == {"AP": 0, "AP50": 0}
    assert math.isnan(detection.agreement({1: found()}, {1: found()}))


def test_agreement_with_oneself_is_100():
    assert detection.agreement(PERFECT, PERFECT) == pytest.approx(100)


def test_agreement_leaves_out_references_of_low_score():
    references = {1: found((10, 10, 60, 60, 0.9, 17), (100, 100, 140, 140, 0.29, 17))}
    judged = {1: found((10, 10, 60, 60, 0.02, 17))}
    assert detection.agreement(judged, references) == pytest.approx(100)
    assert detection.agreement(judged, references, score=0.2) == pytest.approx(51 / 101 * 100)


def test_agreement_falls_with_false_alarms_ahead_and_with_other_classes():
    reference = {1: found((10, 10, 60, 60, 0.9, 17))}
    alarm = {1: found((200, 200, 260, 260, 0.9, 17), (10, 10, 60, 60, 0.5, 17))}
    other = {1: found((10, 10, 60, 60, 0.9, 18))}
    assert detection.agreement(alarm, reference) == pytest.approx(50)
    assert detection.agreement(other, reference) == 0


def test_agreement_takes_subsets_of_the_references():
    assert detection.agreement({2: PERFECT[2]}, PERFECT) == pytest.approx(100)


def test_yolox_finds_what_people_marked(network):
    if not COCO.is_dir():
        pytest.skip("../shared/data/coco206_val2017 is not here")
    truth = detection.read_truth(COCO / "instances_val2017.json")
    predictions = {}
    for image in truth.loadImgs(sorted(truth.getImgIds())[:12]):
        with Image.open(COCO / "images" / image["file_name"]) as picture:
            predictions[image["id"]] = network.predict(np.asarray(picture.convert("RGB")))
    scores = network.metric(predictions, truth)
    assert scores["AP"] > 20
    assert scores["AP50"] > 35
