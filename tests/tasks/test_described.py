from __future__ import annotations

import hashlib
import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.tasks import weights
from icmhcodec.tasks.contract import load_network

RED, GREEN, BLUE = (250, 10, 10), (10, 250, 10), (10, 10, 250)


def needs_onnx2torch():
    """Not by importing it, which fails beside a torchvision that does not fit."""
    if importlib.util.find_spec("onnx2torch") is None:
        pytest.skip("onnx2torch is not installed")


def picture(left, right, height=40, width=60):
    """Two colours side by side, uint8 [H,W,3]."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = left, right
    return pixels


@pytest.fixture
def describe(tmp_path):
    """Writes a description, and the ONNX graph or torch program that it is of; gives its path."""

    def write(text, network, name):
        if isinstance(network, nn.Module):
            program = torch.export.export(network.eval(), (torch.rand(1, 3, 32, 32),))
            torch.export.save(program, tmp_path / name)
        else:
            (tmp_path / name).write_bytes(network)
        path = tmp_path / "my.toml"
        path.write_text(f'file = "{name}"\n{text}')
        return str(path)

    return write


def graph(nodes, outputs, shape=(1, 3, None, None), kind="FLOAT", **constants):
    """Bytes of an ONNX file: nodes (operator, inputs, output, attributes), input "x"."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    made = [
        helper.make_node(operator, inputs, [output], **attributes)
        for operator, inputs, output, attributes in nodes
    ]
    values = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    x = helper.make_tensor_value_info("x", getattr(types, kind), shape)
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    for result in results:
        result.type.tensor_type.elem_type = types.FLOAT
    whole = helper.make_model(
        helper.make_graph(made, "g", [x], results, values),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    return whole.SerializeToString()


def mean_colour():
    """Logits: the mean of each colour."""
    axes = np.array([2, 3], np.int64)
    return graph([("ReduceMean", ["x", "axes"], "y", {"keepdims": 0})], ["y"], axes=axes)


def test_a_classifier_gives_the_data_sets_classes(describe):
    pytest.importorskip("onnxruntime")
    text = 'task = "cls"\n[input]\nsize = 32\n[output]\nclasses = [-1, 7, 9]\n'
    network = load_network(describe(text, mean_colour(), "my.onnx"))
    assert (network.name, network.task, network.side) == ("my", "cls", 32)
    assert network.predict(picture(GREEN, GREEN)).tolist() == [7, 9]
    assert network.predict(picture(RED, BLUE)).tolist() == [9, 7]
    observed = network.observe(network.predict(picture(BLUE, BLUE)), np.array([9, 7]), 7)
    assert network.metric([observed]) == {"top1": 0, "top5": 100, "agreement": 100}


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_layout_colours_and_bytes_reach_the_file(describe, layout):
    pytest.importorskip("onnxruntime")
    axes = np.array([2, 3] if layout == "nchw" else [1, 2], np.int64)
    nodes = [("Cast", ["x"], "f", {"to": 1}), ("ReduceMean", ["f", "axes"], "y", {"keepdims": 0})]
    file = graph(nodes, ["y"], (1, None, None, None), "UINT8", axes=axes)
    text = f'task="cls"\n[input]\nsize=8\nlayout="{layout}"\ncolours="bgr"\ndtype="uint8"\n'
    network = load_network(describe(text, file, "my.onnx"))
    assert network.predict(picture(BLUE, BLUE))[0] == 0
    assert network.predict(picture(RED, RED))[0] == 2


def boxes_of(text, array, describe, pixels, size=None):
    """What a detector finds that always gives `array`."""
    pytest.importorskip("onnxruntime")
    file = graph(
        [
            ("ReduceSum", ["x"], "sum", {"keepdims": 0}),
            ("Mul", ["sum", "zero"], "none", {}),
            ("Add", ["array", "none"], "y", {}),
        ],
        ["y"],
        array=array[None].astype(np.float32),
        zero=np.float32(0),
    )
    head = 'task = "det"\n[input]\nsize = 100\nresize = "letterbox"\n[output]\n'
    return load_network(describe(head + text, file, "my.onnx")).predict(pixels, size)


YOLO = np.array([[50, 20, 20, 10, 0.5, 0.1, 0.8], [51, 20, 20, 10, 0.5, 0.1, 0.7]])


@pytest.mark.parametrize("kind", ["yolo", "yolov8"])
def test_yolo_outputs_are_read(describe, kind):
    array = YOLO if kind == "yolo" else np.delete(YOLO, 4, 1).T
    found = boxes_of(f'kind="{kind}"\nscore=0.2\n', array, describe, picture(RED, RED, 100, 200))
    np.testing.assert_allclose(found.boxes, [[80, 30, 120, 50]], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [0.4 if kind == "yolo" else 0.8])
    assert found.classes.tolist() == [2]


def test_suppression_may_be_left_to_the_network_and_sizes_differ(describe):
    text = 'kind = "yolo"\noverlap = 0\nscore = 0.2\nmost = 2\nclasses = [5, 11]\n'
    found = boxes_of(text, YOLO, describe, picture(RED, RED, 100, 200), (100, 100))
    np.testing.assert_allclose(found.boxes, [[40, 30, 60, 50], [41, 30, 61, 50]], rtol=1e-6)
    assert found.classes.tolist() == [11, 11]


ROWS = np.array([[20, 10, 60, 50, 0.9, 1], [21, 10, 60, 50, 0.8, 1], [0, 0, 5, 5, 0.1, 0]])


def test_rows_of_objects_are_read_and_not_suppressed(describe):
    text = 'kind = "rows"\nbox = "yxyx"\nscore = 0.2\nclasses = [5, 11]\n'
    found = boxes_of(text, ROWS, describe, picture(RED, RED, 100, 200))
    np.testing.assert_allclose(found.boxes, [[20, 40, 100, 100], [20, 42, 100, 100]], rtol=1e-6)
    assert found.classes.tolist() == [11, 11]


@pytest.mark.parametrize(
    ("activation", "scores", "classes"),
    [
        ("none", [1.0, 0.5], [2, 1]),
        ("sigmoid", [0.7311, 0.6225], [2, 1]),
        ("softmax", [0.4967], [2]),
    ],
)
def test_scores_of_classes_are_made_of_what_the_network_gives(
    describe, activation, scores, classes
):
    """As DETR's: the last class is that of no object."""
    pytest.importorskip("onnxruntime")
    logits = np.array([[[0.5, 1.0, 0.1], [-8.0, -8.0, 8.0]]], np.float32)
    boxes = np.array([[[0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.1, 0.1]]], np.float32)
    nodes = [
        ("ReduceSum", ["x"], "sum", {"keepdims": 0}),
        ("Mul", ["sum", "zero"], "none", {}),
        ("Add", ["l", "none"], "logits", {}),
        ("Add", ["b", "none"], "boxes", {}),
    ]
    file = graph(nodes, ["logits", "boxes"], l=logits, b=boxes, zero=np.float32(0))
    text = f"""
        task = "det"
        input = {{size = 100}}
        [output]
        kind = "scores"
        boxes = "boxes"
        scores = "logits"
        box = "cxcywh"
        relative = true
        activation = "{activation}"
        score = 0.4
        classes = [1, 2, -1]
    """
    found = load_network(describe(text, file, "my.onnx")).predict(picture(RED, RED, 100, 200))
    np.testing.assert_allclose(found.scores, scores, atol=1e-3)
    assert found.classes.tolist() == classes
    np.testing.assert_allclose(found.boxes[0], [80, 30, 120, 70], rtol=1e-5)


def test_a_class_beyond_the_list_is_a_usage_error(describe):
    with pytest.raises(UsageError, match="gives class 1, but its description knows 1 classes"):
        boxes_of('kind = "yolo"\nclasses = [5]\n', YOLO, describe, picture(RED, RED))


class Boxes(nn.Module):
    """A detector of torch: relative boxes, scores and labels; the loudest colour's half."""

    def forward(self, x):
        boxes = torch.tensor([[[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 0.5, 1.0]]])
        halves = x.mean(2).unflatten(2, (2, 16)).mean(3)
        scores, labels = halves.max(1)
        return boxes, scores, labels, x * 2


BOXES = 'task = "det"\n[input]\nsize = 32\nscale = 0.004\n[output]\nrelative = true\nbox = "xywh"\n'


def test_a_torch_program_detects(describe):
    text = BOXES + "classes = [1, 2, 3]\nfeatures = [3]\n"
    network = load_network(describe(text, Boxes(), "my.pt2"))
    found = network.to("cpu").predict(picture((200, 0, 0), (0, 0, 240)), (600, 400))
    np.testing.assert_allclose(found.boxes, [[300, 0, 600, 400], [0, 0, 300, 400]])
    assert found.classes.tolist() == [3, 1]
    np.testing.assert_allclose(found.scores, [0.96, 0.8], atol=0.02)
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    (feature,) = network.features(x)
    np.testing.assert_allclose(feature.detach(), x.detach() * 255 * 0.004 * 2, rtol=1e-5)
    feature.sum().backward()
    assert (x.grad > 0).all()
    with pytest.raises(UsageError, match="does not run as its description says"):
        network.features(torch.rand(1, 3, 64, 32))


def test_an_output_that_is_not_there_is_a_usage_error(describe):
    network = load_network(describe(BOXES + "labels = 7\n", Boxes(), "my.pt2"))
    with pytest.raises(UsageError, match="does not run as its description says"):
        network.predict(picture(RED, RED))


@pytest.mark.parametrize("kind", ["logits", "labels"])
@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_labels_return_to_the_picture(describe, kind, resize):
    pytest.importorskip("onnxruntime")
    nodes = [("AveragePool", ["x"], "y", {"kernel_shape": [4, 4], "strides": [4, 4]})]
    if kind == "labels":
        nodes += [("ArgMax", ["y"], "z", {"axis": 1}), ("Cast", ["z"], "w", {"to": 1})]
    file = graph(nodes, [nodes[-1][2]])
    text = f'task="seg"\n[input]\nsize=64\ncentred=true\nresize="{resize}"\n[output]\n'
    text += f'kind = "{kind}"\nclasses = [0, 15, -1]\n'
    network = load_network(describe(text, file, "my.onnx"))
    assert (network.predict(picture(RED, GREEN)) == picture((0,) * 3, (15,) * 3)[..., 0]).all()
    labels = network.predict(picture(RED, BLUE), (90, 30))
    assert labels.shape == (30, 90)
    assert labels[:, [0, 89]].tolist() == [[0, 255]] * 30


def test_features_of_an_onnx_file_are_named_tensors(describe):
    pytest.importorskip("onnxruntime")
    nodes = [("Relu", ["x"], "inner", {}), ("ReduceMean", ["inner"], "y", {})]
    text = 'task = "cls"\n[input]\nsize = 8\nscale = 0.5\n[output]\n'
    network = load_network(describe(text, graph(nodes, ["y"]), "my.onnx"))
    with pytest.raises(UsageError, match=r"my has no features; name tensors of my\.onnx"):
        network.features(torch.rand(1, 3, 8, 8))
    path = describe(text + 'features = ["inner"]\n', graph(nodes, ["y"]), "my.onnx")
    needs_onnx2torch()
    named, x = load_network(path), torch.rand(2, 3, 8, 8, requires_grad=True)
    (feature,) = named.features(x)
    np.testing.assert_allclose(feature.detach(), x.detach() * 127.5, rtol=1e-5)
    feature.sum().backward()
    np.testing.assert_allclose(x.grad, 127.5)
    assert named.fingerprint != network.fingerprint
    assert named.preprocess(x).shape == (2, 3, 8, 8)
    with pytest.raises(MissingWeightsError, match=r"my\.onnx cannot be loaded as a network"):
        load_network(describe(text + 'features = ["none"]\n', graph(nodes, ["y"]), "my.onnx"))


def test_features_do_not_need_what_comes_after_them(describe):
    """A head of a fixed size, and a batch of one written into the file, do not matter."""
    pytest.importorskip("onnxruntime")
    needs_onnx2torch()
    head = np.ones((3 * 8 * 8, 2), np.float32)
    nodes = [
        ("Relu", ["x"], "inner", {}),
        ("Reshape", ["inner", "sides"], "flat", {}),
        ("MatMul", ["flat", "head"], "y", {}),
    ]
    file = graph(nodes, ["y"], (1, 3, 8, 8), head=head, sides=np.array([1, 192]))
    text = 'task = "cls"\n[input]\nsize = 8\n[output]\nclasses = [0, 1]\n'
    network = load_network(describe(text + 'features = ["inner"]\n', file, "my.onnx"))
    x = torch.rand(3, 3, 16, 24)
    np.testing.assert_allclose(network.features(x)[0], x * 255, rtol=1e-5)
    outputs = load_network(describe(text + "features = [0]\n", file, "my.onnx"))
    assert outputs.features(x[..., :8, :8])[0].shape == (3, 2)
    with pytest.raises(UsageError, match="does not run as its description says"):
        outputs.features(x)


@pytest.mark.parametrize("name", ["my.onnx", "my.pt2"])
def test_a_damaged_file_is_one_line(describe, name):
    pytest.importorskip("onnxruntime")
    path = describe('task = "cls"\n[input]\nsize = 8\n', b"no network", name)
    with pytest.raises(MissingWeightsError, match=r"my\.\w+ cannot be loaded") as caught:
        load_network(path)
    assert "\n" not in str(caught.value)


def test_the_hash_is_checked_before_the_file_is_read(describe):
    content = b"no network"
    for digest, message in (
        ("0" * 64, "its SHA-256 is not the one in"),
        (hashlib.sha256(content).hexdigest().upper(), "neither an .onnx file nor a .pt2"),
    ):
        text = f'task = "cls"\nsha256 = "{digest}"\n[input]\nsize = 8\n'
        with pytest.raises((MissingWeightsError, UsageError), match=message):
            load_network(describe(text, content, "my.bin"))


def test_the_file_may_lie_among_the_networks(describe, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path / "cache")
    path = describe('task = "cls"\n[input]\nsize = 8\n', mean_colour(), "my.onnx")
    expected = load_network(path).fingerprint
    (tmp_path / "nets").mkdir()
    (tmp_path / "my.onnx").rename(tmp_path / "nets" / "my.onnx")
    with pytest.raises(MissingWeightsError, match=r"my\.onnx is not in .*ICMH_NETS"):
        load_network(path)
    monkeypatch.setenv("ICMH_NETS", str(tmp_path / "nets"))
    assert load_network(path).fingerprint == expected


def test_yolox_by_description_equals_yolox(describe, network, network_file, data):
    pytest.importorskip("onnxruntime")
    text = """
        task = "det"
        input = {size = 416, resize = "letterbox", colours = "bgr"}
        output = {kind = "yolox"}
    """
    described = load_network(describe(text, network_file.read_bytes(), "yolox_nano.onnx"))
    from PIL import Image

    path = min((data / "coco206_val2017" / "images").iterdir())
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    ours, theirs = network.predict(pixels).above(0.1), described.predict(pixels).above(0.1)
    assert len(ours.scores) > 3
    assert ours.classes.tolist() == theirs.classes.tolist()
    np.testing.assert_allclose(theirs.boxes, ours.boxes, rtol=0, atol=0.05)
    np.testing.assert_allclose(theirs.scores, ours.scores, rtol=0, atol=1e-3)
    assert described.side == network.side
