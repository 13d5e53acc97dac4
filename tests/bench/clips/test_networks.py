from __future__ import annotations

import contextlib
import io
import json
from itertools import chain

import numpy as np
import pytest
from PIL import Image

from icmhcodec.bench.clips.networks import ClipNetwork, ClipSegmenter, on_clips
from icmhcodec.errors import UsageError
from icmhcodec.tasks.contract import load_network
from icmhcodec.tasks.detection import Detection, Detections
from icmhcodec.tasks.segmentation import Segmentation
from tests.tasks.test_described import graph, mean_colour

from . import moving


class Detector(Detection):
    name, fingerprint = "detector", "0"


class Segmenter(Segmentation):
    name, fingerprint = "segmenter", "0"

    def predict(self, picture):
        return (picture[..., 0] > 127).astype(np.uint8)


def stored(observation):
    return json.loads(json.dumps(observation))


def some_detections(random, count):
    corners = random.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(8, 40, (count, 2))], 1)
    scores = np.sort(random.uniform(0, 1, count))[::-1]
    return Detections(
        boxes.astype(np.float32), scores.astype(np.float32), random.choice([1, 3], count)
    )


def moved(random, found):
    """The same objects, some of them off, some gone, with other scores."""
    kept = random.uniform(size=len(found.scores)) > 0.2
    boxes = found.boxes[kept] + random.normal(0, 3, (kept.sum(), 4)).astype(np.float32)
    scores = random.permutation(found.scores[kept])
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[order], scores[order], found.classes[kept][order])


def test_agreement_is_pycocotools_ap_with_the_originals_objects_as_truth():
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    random = np.random.default_rng(5)
    clips = [[some_detections(random, 6) for _ in range(count)] for count in (3, 5)]
    coded = [[moved(random, found) for found in clip] for clip in clips]
    network = on_clips(Detector())
    assert type(network) is ClipNetwork
    observations = [
        stored(network.observe(iter(after), iter(before), None))
        for before, after in zip(clips, coded, strict=True)
    ]
    truth, results, image = [], [], 0
    for before, after in zip(chain(*clips), chain(*coded), strict=True):
        image += 1
        for rows, found in ((truth, before.above(0.3)), (results, after)):
            for box, score, category in zip(found.boxes, found.scores, found.classes, strict=True):
                left, top, right, bottom = map(float, box)
                size = [left, top, right - left, bottom - top]
                area = size[2] * size[3]
                rows.append(
                    {"id": len(rows) + 1, "image_id": image, "category_id": int(category),
                     "bbox": size, "area": area, "score": float(score), "iscrowd": 0}
                )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        base = coco.COCO()
        base.dataset = {
            "images": [{"id": number + 1} for number in range(image)],
            "categories": [{"id": 1}, {"id": 3}],
            "annotations": truth,
        }
        base.createIndex()
        evaluation = cocoeval.COCOeval(base, base.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]
    wanted = 100 * precision[precision > -1].mean()
    assert 20 < wanted < 95
    assert network.metric(observations) == {"agreement": pytest.approx(wanted)}


def test_the_same_objects_agree():
    random = np.random.default_rng(1)
    clip = [some_detections(random, 4) for _ in range(3)]
    network = on_clips(Detector())
    assert network.metric([network.observe(clip, clip, None)]) == {"agreement": 100}


def mask(path, columns):
    labels = np.zeros((8, 10), np.uint8)
    labels[:, :columns] = 255
    Image.fromarray(labels).save(path)
    return path


def test_masks_are_means_over_frames_then_clips(tmp_path):
    network = on_clips(Segmenter())
    assert isinstance(network, ClipSegmenter)
    labels = np.zeros((8, 10), np.uint8)
    labels[:, :4] = 3
    labels[:, 9] = 255  # the network does not know: it is not found
    paths = {columns: mask(tmp_path / f"{columns}.png", columns) for columns in (2, 4, 8)}
    first = [paths[4], None, paths[8]]
    second = [paths[2]]
    observations = [
        stored(network.observe([labels] * 3, [labels] * 3, first)),
        stored(network.observe([labels], [labels], second)),
        stored(network.observe([labels], [labels * 0], None)),
    ]
    assert (observations[0]["J"], observations[0]["F"]) == ((1 + 0.5) / 2, 0.5)
    found = network.metric(observations[:2])
    assert found["J"] == pytest.approx(100 * (0.75 + 0.5) / 2)
    assert found["F"] == pytest.approx(100 * (0.5 + 0) / 2)
    assert found["J&F"] == pytest.approx((found["J"] + found["F"]) / 2)
    assert next(iter(found)) == "J&F"
    assert found["agreement"] == 100
    assert network.metric(observations)["J"] == found["J"]  # a clip without masks does not count
    assert list(network.metric(observations[2:])) == ["agreement"]
    assert network.metric(observations[2:])["agreement"] < 100


def test_masks_of_another_size_are_refused(tmp_path):
    network = on_clips(Segmenter())
    labels = np.zeros((9, 10), np.uint8)
    with pytest.raises(UsageError, match="10x9 and 10x8"):
        network.observe([labels], [labels], [mask(tmp_path / "m.png", 3)])


@pytest.fixture
def classifier(tmp_path):
    """Logits are the mean colours; its classes are the set's 5, none, 7."""
    pytest.importorskip("onnxruntime")
    (tmp_path / "my.onnx").write_bytes(mean_colour())
    text = 'file = "my.onnx"\ntask = "cls"\n[input]\nsize = 32\n[output]\nclasses = [5, -1, 7]\n'
    (tmp_path / "my.toml").write_text(text)
    return load_network(str(tmp_path / "my.toml"))


def plain(red, green, blue):
    return np.full((40, 60, 3), (red, green, blue), np.uint8)


def test_a_clips_class_is_that_of_the_mean_output(classifier):
    network = on_clips(classifier)
    # Two of three frames are red, but the mean is blue.
    clip = [plain(60, 0, 50), plain(60, 0, 50), plain(0, 0, 250)]
    seen = [network.predict(frame) for frame in clip]
    assert np.allclose(seen[0], (60, 0, 50), atol=0.01)
    assert [classifier.predict(frame)[0] for frame in clip] == [5, 5, 7]
    observed = stored(network.observe(seen, seen[:1], 7))
    assert observed == {"top1": 1, "top5": 1, "agreement": 0}
    assert network.metric([observed, {**observed, "top1": 0}])["top1"] == 50
    green = network.predict(plain(0, 255, 9))
    assert network.observe([green], [green], 7)["top1"] == 1  # class 1 is none of the set's


def test_a_registered_classifier_gives_outputs():
    torch = pytest.importorskip("torch")

    class Mean(torch.nn.Module):
        name, task, fingerprint = "mean", "cls", "0"

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1), requires_grad=False)

        def preprocess(self, x):
            return x * 255

        def forward(self, x):
            return x.mean((2, 3)) * self.weight

    assert np.allclose(on_clips(Mean()).predict(plain(1, 2, 3)), (1, 2, 3))


def test_more_outputs_than_classes_are_said(classifier, tmp_path):
    doubled = graph(
        [
            ("ReduceMean", ["x", "axes"], "m", {"keepdims": 0}),
            ("Concat", ["m", "m"], "y", {"axis": 1}),
        ],
        ["y"],
        axes=np.array([2, 3], np.int64),
    )
    (tmp_path / "my.onnx").write_bytes(doubled)
    network = on_clips(load_network(str(tmp_path / "my.toml")))
    seen = [network.predict(frame) for frame in moving.frames(1)]
    with pytest.raises(UsageError, match="6 outputs, but its description knows 3 classes"):
        network.observe(seen, seen, None)
