from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from icmhcodec.tasks import detection
from icmhcodec.tasks.detection import Detection, Detections
from tests.tasks import whole_set


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
    return whole_set.read_truth(path)


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
    assert whole_set.average_precision(PERFECT, truth) == {"AP": 100, "AP50": 100}
    assert capsys.readouterr().out == ""


def test_a_loose_box_counts_for_ap50_only(truth):
    loose = {1: PERFECT[1], 2: found((0, 0, 80, 50, 0.6, 17))}  # IoU 0.625
    scores = whole_set.average_precision(loose, truth)
    assert scores["AP50"] == pytest.approx(100)
    assert 70 < scores["AP"] < 95


def test_only_the_predicted_pictures_count(truth):
    assert whole_set.average_precision({2: PERFECT[2]}, truth)["AP"] == pytest.approx(100)
    missing = {1: PERFECT[1], 2: found()}
    # class 17 has recall 2/3: 67 of 101 recall points; class 18 all
    expected = (67 / 101 + 1) / 2 * 100
    assert whole_set.average_precision(missing, truth)["AP"] == pytest.approx(expected)


def test_no_detections_score_0_and_no_objects_nan(truth):
    assert whole_set.average_precision({1: found(), 2: found()}, truth) == {"AP": 0, "AP50": 0}
    assert math.isnan(whole_set.agreement({1: found()}, {1: found()}))


def test_agreement_with_oneself_is_100():
    assert whole_set.agreement(PERFECT, PERFECT) == pytest.approx(100)


def test_agreement_leaves_out_references_of_low_score():
    references = {1: found((10, 10, 60, 60, 0.9, 17), (100, 100, 140, 140, 0.29, 17))}
    judged = {1: found((10, 10, 60, 60, 0.02, 17))}
    assert whole_set.agreement(judged, references) == pytest.approx(100)
    assert whole_set.agreement(judged, references, score=0.2) == pytest.approx(51 / 101 * 100)


def test_agreement_falls_with_false_alarms_ahead_and_with_other_classes():
    reference = {1: found((10, 10, 60, 60, 0.9, 17))}
    alarm = {1: found((200, 200, 260, 260, 0.9, 17), (10, 10, 60, 60, 0.5, 17))}
    other = {1: found((10, 10, 60, 60, 0.9, 18))}
    assert whole_set.agreement(alarm, reference) == pytest.approx(50)
    assert whole_set.agreement(other, reference) == 0


def test_agreement_takes_subsets_of_the_references():
    assert whole_set.agreement({2: PERFECT[2]}, PERFECT) == pytest.approx(100)


NETWORK = Detection()


def observed(predictions, references, truth):
    """Observations in the order of the pictures, through JSON."""
    observations = [
        NETWORK.observe(predictions[key], references[key], truth.loadAnns(truth.getAnnIds([key])))
        for key in sorted(predictions)
    ]
    return json.loads(json.dumps(observations))


def check(predictions, references, truth):
    scores = NETWORK.metric(observed(predictions, references, truth))
    expected = whole_set.average_precision(predictions, truth)
    agreement = whole_set.agreement(predictions, references)
    assert scores["agreement"] == pytest.approx(agreement, nan_ok=True, abs=1e-9)
    if math.isnan(expected["AP"]):
        assert set(scores) == {"agreement"}
    else:
        assert scores["AP"] == pytest.approx(expected["AP"], abs=1e-9)
        assert scores["AP50"] == pytest.approx(expected["AP50"], abs=1e-9)


def random_boxes(random, count):
    start = random.integers(0, 60, (count, 2))
    return np.concatenate((start, start + random.integers(5, 40, (count, 2))), 1)


def random_set(seed, pictures=4):
    """Predictions, references and COCO's truth with crowds, of boxes that overlap often."""
    random = np.random.default_rng(seed)
    classes = detection.COCO_IDS[:3]
    annotations, found = [], ({}, {})
    for picture in range(pictures):
        truth = random_boxes(random, random.integers(0, 6))
        for box in truth.tolist():
            row = {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
            row |= {"id": len(annotations) + 1, "image_id": picture, "area": 100.0}
            row |= {
                "category_id": int(random.choice(classes)),
                "iscrowd": int(random.random() < 0.2),
            }
            annotations.append(row)
        for predictions in found:
            near = np.repeat(truth, 3, 0) + random.integers(-4, 5, (3 * len(truth), 4))
            boxes = np.concatenate((near, random_boxes(random, 5))).astype(np.float32)
            boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])
            scores = np.sort(random.integers(1, 20, len(boxes)) / 20)[::-1].astype(np.float32)
            numbers = random.choice(classes, len(boxes))
            predictions[picture] = Detections(boxes, scores, numbers)
    coco = detection._dataset([{"id": k} for k in range(pictures)], annotations)
    return *found, coco


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_observations_give_what_pycocotools_gives(seed, pictures):
    check(*random_set(seed, pictures))


def test_only_the_best_hundred_of_a_class_are_judged():
    random = np.random.default_rng(0)
    scores = np.linspace(0.9, 0.4, 130).astype(np.float32)
    many = {1: Detections(random_boxes(random, 130).astype(np.float32), scores, np.full(130, 17))}
    row = {"id": 1, "image_id": 1, "category_id": 17, "area": 100.0, "iscrowd": 0}
    box = many[1].boxes[120].tolist()
    row["bbox"] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    truth = detection._dataset([{"id": 1}], [row])
    check(many, many, truth)
    assert len(observed(many, many, truth)[0]["scores"]) == 100


def test_small_sets_and_empty_pictures(truth):
    empty = {1: found(), 2: found()}
    check(PERFECT, PERFECT, truth)
    check(empty, PERFECT, truth)
    check(PERFECT, empty, truth)
    assert math.isnan(NETWORK.metric([])["agreement"])


def test_repetitions_weigh(truth):
    one, two = observed(PERFECT, PERFECT, truth)
    lost = {**two, **{key: [] for key in ("scores", "classes", "hits", "ignored", "agreed")}}
    assert NETWORK.metric([one, lost])["AP"] == pytest.approx((67 / 101 + 1) / 2 * 100)
    # two of four cats
    assert NETWORK.metric([one, lost, lost])["AP"] == pytest.approx((51 / 101 + 1) / 2 * 100)


def test_without_annotations_there_is_agreement_alone():
    observation = NETWORK.observe(PERFECT[1], PERFECT[1], None)
    assert NETWORK.metric([observation]) == {"agreement": pytest.approx(100)}
    labelled = NETWORK.observe(PERFECT[1], PERFECT[1], [])
    assert set(NETWORK.metric([labelled])) == {"agreement"}


def test_boxes_of_a_shrunk_picture_are_enlarged():
    d = found((1, 2, 3, 4, 0.5, 1)).resized((10, 20, 3), (40, 50))
    assert d.boxes.tolist() == [[2, 10, 6, 20]]


def polygon(x1, y1, x2, y2):
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]


@pytest.mark.parametrize("shift", [0, 8, 40])
def test_mask_metrics_equal_pycocotools(shift):
    coder = pytest.importorskip("pycocotools.mask")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    rows = [
        {"id": k, "image_id": 7, "category_id": 17, "iscrowd": 0, "area": 900.0}
        | {"bbox": [x, 10, 30, 30], "segmentation": polygon(x, 10, x + 30, 40)}
        for k, x in enumerate((10, 60), 1)
    ]
    truth = detection._dataset([{"id": 7, "height": 60, "width": 100}], rows)
    masks = np.zeros((60, 100, 2), np.uint8, order="F")
    masks[10:40, 10 : 40 - shift // 2, 0] = 1
    masks[10 + shift // 2 : 40, 60:90, 1] = 1
    boxes = found((10, 10, 40, 40, 0.9, 17), (60, 10, 90, 40, 0.8, 17))
    masked = Detections(boxes.boxes, boxes.scores, boxes.classes, tuple(coder.encode(masks)))
    scores = NETWORK.metric(observed({7: masked}, {7: masked}, truth))
    assert scores["AP"] == pytest.approx(100)
    results = truth.loadRes(detection._rows({7: masked}))
    evaluation = cocoeval.COCOeval(truth, results, "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, -1]
    assert scores["mask_AP"] == pytest.approx(100 * precision[precision > -1].mean())
    assert (scores["mask_AP"] < 100) == (shift > 0)
    assert masked.above(0.85).masks == masked.masks[:1]


def test_yolox_finds_what_people_marked(network, data):
    folder = data / "coco206_val2017"
    truth = whole_set.read_truth(folder / "instances_val2017.json")
    predictions = {}
    for image in truth.loadImgs(sorted(truth.getImgIds())[:10]):
        with Image.open(folder / "images" / image["file_name"]) as picture:
            predictions[image["id"]] = network.predict(np.asarray(picture.convert("RGB")))
    check(predictions, predictions, truth)
    scores = network.metric(observed(predictions, predictions, truth))
    assert scores["AP"] > 20
    assert scores["AP50"] > 35
    assert scores["agreement"] == pytest.approx(100)
