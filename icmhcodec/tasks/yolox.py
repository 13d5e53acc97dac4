"""YOLOX-Nano in torch (Ge et al. 2021, arXiv 2107.08430; code base Megvii-BaseDetection/YOLOX).

CSPDarknet with depth-wise convolutions (depth 0.33, width 0.25), PAFPN and decoupled heads; batch
normalisation is already folded into the published ONNX file, so convolutions have biases.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.tasks import detection, packages, weights
from icmhcodec.tasks.contract import Pixels, check_sides
from icmhcodec.tasks.detection import Detection, Detections
from icmhcodec.tasks.inputs import Input

FILE = weights.NetworkFile(
    folder="yolox_nano",
    name="yolox_nano.onnx",
    url="https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_nano.onnx",
    sha256="695e750a5d5754bb5a8d5325643b59282191a7e7a564e435a415fd3c578eab14",
    size=3_660_092,
)
SIDE = 416
STRIDES = (8, 16, 32)
INPUT = Input((SIDE, SIDE), "letterbox", bgr=True)
SCORE, OVERLAP, MOST = 0.01, 0.65, 100

_CLASSES = len(detection.COCO_IDS)
_HEAD = 64

FloatArray = npt.NDArray[np.float32]


class _Conv(nn.Module):
    """Convolution and SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv(x))


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_Conv(inputs, inputs, 3, stride, inputs), _Conv(inputs, outputs, 1))


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, shortcut: bool):
        super().__init__()
        self.body = nn.Sequential(_Conv(channels, channels, 1), _separable(channels, channels))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out + x if self.shortcut else out


class _CSP(nn.Module):
    """Cross-stage partial block: one half through bottlenecks, one straight on."""

    def __init__(self, inputs: int, outputs: int, depth: int, shortcut: bool):
        super().__init__()
        half = outputs // 2
        self.main = _Conv(inputs, half, 1)
        self.side = _Conv(inputs, half, 1)
        self.blocks = nn.Sequential(*(_Bottleneck(half, shortcut) for _ in range(depth)))
        self.merge = _Conv(outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        main = self.blocks(self.main(x))
        out: Tensor = self.merge(torch.cat((main, self.side(x)), 1))
        return out


class _Pyramid(nn.Module):
    """Spatial pyramid pooling over 5, 9 and 13 elements."""

    def __init__(self, channels: int):
        super().__init__()
        self.narrow = _Conv(channels, channels // 2, 1)
        self.merge = _Conv(channels * 2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow(x)
        pooled = [F.max_pool2d(x, size, 1, size // 2) for size in (5, 9, 13)]
        out: Tensor = self.merge(torch.cat((x, *pooled), 1))
        return out


class _Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(12, 16, 3)
        self.dark2 = nn.Sequential(_separable(16, 32, 2), _CSP(32, 32, 1, True))
        self.dark3 = nn.Sequential(_separable(32, 64, 2), _CSP(64, 64, 3, True))
        self.dark4 = nn.Sequential(_separable(64, 128, 2), _CSP(128, 128, 3, True))
        self.dark5 = nn.Sequential(_separable(128, 256, 2), _Pyramid(256), _CSP(256, 256, 1, False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # space to depth; left column first, as the code base has it
        parts = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        fine = self.dark3(self.dark2(self.stem(torch.cat(parts, 1))))
        middle = self.dark4(fine)
        return fine, middle, self.dark5(middle)


class _Neck(nn.Module):
    """PAFPN: coarse to fine, then back."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral5 = _Conv(256, 128, 1)
        self.down4 = _CSP(256, 128, 1, False)
        self.lateral4 = _Conv(128, 64, 1)
        self.down3 = _CSP(128, 64, 1, False)
        self.stride3 = _separable(64, 64, 2)
        self.up4 = _CSP(128, 128, 1, False)
        self.stride4 = _separable(128, 128, 2)
        self.up5 = _CSP(256, 256, 1, False)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> list[Tensor]:
        top = self.lateral5(coarse)
        inner = self.lateral4(self.down4(torch.cat((_double(top), middle), 1)))
        out3 = self.down3(torch.cat((_double(inner), fine), 1))
        out4 = self.up4(torch.cat((self.stride3(out3), inner), 1))
        out5 = self.up5(torch.cat((self.stride4(out4), top), 1))
        return [out3, out4, out5]


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class _Head(nn.Module):
    """Decoupled head of one stride: [B,C,h,w] -> [B,85,h,w], box, objectness, classes."""

    def __init__(self, channels: int):
        super().__init__()
        self.stem = _Conv(channels, _HEAD, 1)
        self.class_body = nn.Sequential(_separable(_HEAD, _HEAD), _separable(_HEAD, _HEAD))
        self.classes = nn.Conv2d(_HEAD, _CLASSES, 1)
        self.box_body = nn.Sequential(_separable(_HEAD, _HEAD), _separable(_HEAD, _HEAD))
        self.box = nn.Conv2d(_HEAD, 4, 1)
        self.objectness = nn.Conv2d(_HEAD, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        classes = self.classes(self.class_body(x))
        x = self.box_body(x)
        return torch.cat((self.box(x), self.objectness(x).sigmoid(), classes.sigmoid()), 1)


class YoloxNano(Detection, nn.Module):
    """YOLOX-Nano with COCO's 80 classes; modules are registered in the order of their use."""

    name = "yolox-nano"
    side = SIDE
    multiple = STRIDES[-1]
    fingerprint: str

    def __init__(self) -> None:
        """Make the network with weights not yet loaded."""
        super().__init__()
        self.backbone = _Backbone()
        self.neck = _Neck()
        self.heads = nn.ModuleList(_Head(channels) for channels in (64, 128, 256))

    def forward(self, x: Tensor) -> Tensor:
        """BGR [B,3,H,W] in 0..255 -> [B,N,85], not decoded: strides 8, 16, 32, row-major."""
        maps = self.neck(*self.backbone(x))
        outputs = [head(x).flatten(2) for head, x in zip(self.heads, maps, strict=True)]
        return torch.cat(outputs, 2).transpose(1, 2)

    def preprocess(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in [0,1] -> letterboxed BGR [B,3,416,416] in 0..255; differentiable."""
        return INPUT.differentiable(x)

    def features(self, x: Tensor) -> list[Tensor]:
        """Neck outputs [B,64,H/8,W/8], [B,128,H/16,W/16], [B,256,H/32,W/32]; differentiable.

        x: RGB [B,3,H,W] in [0,1], taken as it is, without letterbox. Raises UsageError where H or
        W is no multiple of 32.
        """
        check_sides(self, x)
        maps: list[Tensor] = self.neck(*self.backbone(INPUT.normalise(x * 255)))
        return maps

    @torch.inference_mode()
    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> Detections:
        """Objects in a picture, uint8 [H,W,3]: score > 0.01, class-wise NMS 0.65, at most 100.

        Boxes are in pixels of a picture of `size` (width, height), by default of this one.
        """
        weight = next(self.parameters())
        output = self(INPUT.tensor(picture).to(weight.device, weight.dtype))
        found = select(output[0].float().cpu().numpy(), picture.shape[0], picture.shape[1])
        return found.resized(picture.shape, size)


def load_yolox(path: str | Path | None = None) -> YoloxNano:
    """YOLOX-Nano with the published weights, frozen, in evaluation mode.

    path: the ONNX file or its folder; by default `weights.locate` looks for it. Raises
    MissingWeightsError where it cannot be had, or where the package onnx is not installed.
    """
    network = YoloxNano()
    file = weights.locate(FILE, path)
    # both orders are that of use
    network.load_state_dict(dict(zip(network.state_dict(), _convolutions(file), strict=True)))
    network.fingerprint = weights.fingerprint(
        file, input=INPUT, score=SCORE, overlap=OVERLAP, most=MOST
    )
    return network.eval().requires_grad_(False)


def _convolutions(path: Path) -> list[Tensor]:
    """Kernel and bias of each convolution of an ONNX file in the order of its graph."""
    onnx = packages.load("onnx", path.name)
    graph = onnx.load(str(path)).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    names = [name for node in graph.node if node.op_type == "Conv" for name in node.input[1:]]
    # copied: the arrays of a loaded file are read-only
    return [torch.from_numpy(onnx.numpy_helper.to_array(tensors[name]).copy()) for name in names]


def select(output: FloatArray, height: int, width: int) -> Detections:
    """Objects of a raw output [3549,85], boxes in pixels of the picture of this size."""
    boxes = INPUT.place(height, width).back(decode(output[:, :4], SIDE, SIDE))
    boxes = detection.clip(boxes, height, width)
    boxes, scores, classes = detection.candidates(boxes, output[:, 4:5] * output[:, 5:], SCORE)
    classes = detection.COCO_IDS[classes]
    return detection.choose(boxes, scores, classes, overlap=OVERLAP, most=MOST)


def decode(raw: FloatArray, height: int, width: int) -> FloatArray:
    """Raw boxes [n,4] of strides 8, 16, 32 -> x1, y1, x2, y2 in an input of this size."""
    grids, strides = [], []
    for stride in STRIDES:
        across = width // stride
        rows, columns = np.divmod(np.arange(height // stride * across), across)
        grids.append(np.stack((columns, rows), 1))
        strides.append(np.full((len(rows), 1), stride))
    stride_of = np.concatenate(strides).astype(np.float32)
    centre = (raw[:, :2] + np.concatenate(grids).astype(np.float32)) * stride_of
    # what exceeds the input is cut to the picture; the bound keeps exp finite
    half = np.exp(np.minimum(raw[:, 2:], math.log(max(height, width)))) * stride_of / 2
    return np.concatenate((centre - half, centre + half), 1)
