"""YOLOX-Nano in torch (Ge et al. 2021, arXiv 2107.08430; code base Megvii-BaseDetection/YOLOX).

CSPDarknet with depth-wise convolutions (depth 0.33, width 0.25), PAFPN and decoupled heads; batch
normalisation is already folded into the published ONNX file, so convolutions have biases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.tasks import detection, weights
from icmhcodec.tasks.contract import Pixels
from icmhcodec.tasks.detection import Detections

if TYPE_CHECKING:
    from pycocotools.coco import COCO

FILE = weights.NetworkFile(
    folder="yolox_nano",
    name="yolox_nano.onnx",
    url="https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_nano.onnx",
    sha256="695e750a5d5754bb5a8d5325643b59282191a7e7a564e435a415fd3c578eab14",
    size=3_660_092,
)
SIDE = 416
STRIDES = (8, 16, 32)
GREY = 114  # fills what the picture leaves of the square
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


class YoloxNano(nn.Module):
    """YOLOX-Nano with COCO's 80 classes; modules are registered in the order of their use."""

    name = "yolox-nano"
    task = "det"
    multiple = STRIDES[-1]

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
        size = fitted(x.shape[-2], x.shape[-1])
        # antialiased as Pillow's bilinear is
        x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
        return F.pad(_bgr(x), (0, SIDE - size[1], 0, SIDE - size[0]), value=GREY)

    def features(self, x: Tensor) -> list[Tensor]:
        """Neck outputs [B,64,H/8,W/8], [B,128,H/16,W/16], [B,256,H/32,W/32]; differentiable.

        x: RGB [B,3,H,W] in [0,1], taken as it is, without letterbox. Raises UsageError where H or
        W is no multiple of 32.
        """
        if x.shape[-2] % self.multiple or x.shape[-1] % self.multiple:
            size = f"{x.shape[-1]}x{x.shape[-2]}"
            raise UsageError(f"features of {self.name} need sides that are multiples of 32: {size}")
        maps: list[Tensor] = self.neck(*self.backbone(_bgr(x)))
        return maps

    @torch.inference_mode()
    def predict(self, picture: Pixels) -> Detections:
        """Objects in a picture, uint8 [H,W,3]: score > 0.01, class-wise NMS 0.65, at most 100."""
        weight = next(self.parameters())
        x = torch.from_numpy(letterbox(picture)).to(weight.device, weight.dtype)
        output = self(x[None])[0].float().cpu().numpy()
        return select(output, picture.shape[0], picture.shape[1])

    def metric(self, predictions: Mapping[int, Detections], truth: COCO) -> dict[str, float]:
        """COCO's AP and AP50 in percent over the pictures predicted."""
        return detection.average_precision(predictions, truth)


def load_yolox(path: str | Path | None = None) -> YoloxNano:
    """YOLOX-Nano with the published weights, frozen, in evaluation mode.

    path: the ONNX file or its folder; by default `weights.locate` looks for it. Raises
    MissingWeightsError where it cannot be had, or where the package onnx is not installed.
    """
    network = YoloxNano()
    tensors = _convolutions(weights.locate(FILE, path))
    # both orders are that of use
    network.load_state_dict(dict(zip(network.state_dict(), tensors, strict=True)))
    return network.eval().requires_grad_(False)


def _convolutions(path: Path) -> list[Tensor]:
    """Kernel and bias of each convolution of an ONNX file in the order of its graph."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingWeightsError(
            f"{path.name} needs the package onnx to be read; pip install 'icmhcodec[tasks]'"
        ) from error
    graph = onnx.load(str(path)).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    names = [name for node in graph.node if node.op_type == "Conv" for name in node.input[1:]]
    # copied: the arrays of a loaded file are read-only
    return [torch.from_numpy(numpy_helper.to_array(tensors[name]).copy()) for name in names]


def letterbox(picture: Pixels) -> FloatArray:
    """uint8 RGB [H,W,3] -> BGR float32 [3,416,416] in 0..255, top left, the rest grey."""
    resized = shrink(picture)
    square = np.full((3, SIDE, SIDE), GREY, np.float32)
    square[:, : resized.shape[0], : resized.shape[1]] = resized[..., ::-1].transpose(2, 0, 1)
    return square


def shrink(picture: Pixels) -> Pixels:
    """The picture uint8 [H,W,3] at the size that the network sees, bilinear."""
    height, width = fitted(picture.shape[0], picture.shape[1])
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def fitted(height: int, width: int) -> tuple[int, int]:
    """Height and width of a picture of this size inside the network's square."""
    scale = _scale(height, width)
    return max(1, int(height * scale)), max(1, int(width * scale))


def select(output: FloatArray, height: int, width: int) -> Detections:
    """Objects of a raw output [3549,85], boxes in pixels of the picture of this size."""
    boxes = _decode(output[:, :4]) / np.float32(_scale(height, width))
    boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    # a place may hold objects of several classes: 0.3 points of AP over its best class alone
    scores = output[:, 4:5] * output[:, 5:]
    places, classes = np.nonzero(scores > SCORE)
    boxes, scores = boxes[places], scores[places, classes]
    chosen = detection.suppress(boxes, scores, classes, OVERLAP)[:MOST]
    return Detections(boxes[chosen], scores[chosen], detection.COCO_IDS[classes[chosen]])


def _scale(height: int, width: int) -> float:
    return min(SIDE / height, SIDE / width)


def _bgr(x: Tensor) -> Tensor:
    return x.flip(1) * 255.0


def _decode(raw: FloatArray) -> FloatArray:
    """Raw boxes [3549,4] -> x1, y1, x2, y2 in pixels of the network's input."""
    grids, strides = [], []
    for stride in STRIDES:
        side = SIDE // stride
        rows, columns = np.divmod(np.arange(side * side), side)
        grids.append(np.stack((columns, rows), 1))
        strides.append(np.full((side * side, 1), stride))
    stride_of = np.concatenate(strides).astype(np.float32)
    centre = (raw[:, :2] + np.concatenate(grids).astype(np.float32)) * stride_of
    # what exceeds the input is cut to the picture; the bound keeps exp finite
    half = np.exp(np.minimum(raw[:, 2:], math.log(SIDE))) * stride_of / 2
    return np.concatenate((centre - half, centre + half), 1)
