"""ESPNetv2 in torch (Mehta et al. 2019, arXiv 1811.11431; code base sacmehta/EdgeNets), s = 2.0.

An encoder of efficient spatial pyramids of dilated convolutions and a decoder of pyramid pooling,
for the 21 classes of Pascal VOC. Modules are named as in the published state_dict, which is loaded
strictly.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.tasks import segmentation, weights
from icmhcodec.tasks.contract import Pixels, check_sides
from icmhcodec.tasks.inputs import IMAGENET_MEAN, IMAGENET_STD, Input
from icmhcodec.tasks.segmentation import Labels, Segmentation

FILE = weights.NetworkFile(
    folder="espnetv2_voc",
    name="espnetv2_s_2.0_pascal_384x384.pth",
    url="https://raw.githubusercontent.com/sacmehta/EdgeNets/"
    "5976d678ee754b846d09485f2fbd059e6f30883b/model/segmentation/model_zoo/espnetv2/"
    "espnetv2_s_2.0_pascal_384x384.pth",
    sha256="bc479586b0ba9254e02589020346931a14d99028ad6bac4817198be6d9e719a6",
    size=3_376_138,
)
SHORT = 384
INPUT = Input(
    (SHORT, SHORT), "short", multiple=32, scale=1 / 255, mean=IMAGENET_MEAN, std=IMAGENET_STD
)
CLASSES = 21
BRANCHES = 4  # of a spatial pyramid
WIDTHS = (32, 128, 256, 512)  # of the encoder's four levels
DECODED = (64, 48, 32, CLASSES)  # of the decoder's four, from the coarsest


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, dilation: int = 1
) -> nn.Conv2d:
    padding = kernel // 2 * dilation
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)


def _named(*modules: tuple[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


def _cba(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    """Convolution, normalisation and, with `act`, PReLU."""
    parts = [("conv", _conv(inputs, outputs, kernel, stride, groups))]
    activation = [("act", nn.PReLU(outputs))] if act else []
    return _named(*parts, ("bn", nn.BatchNorm2d(outputs)), *activation)


def _cbr(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Sequential:
    parts = _conv(inputs, outputs, kernel, groups=groups), *_norm(outputs)
    return _named(("cbr", nn.Sequential(*parts)))


def _norm(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.PReLU(channels)


def _br(channels: int) -> nn.Sequential:
    return _named(("br", nn.Sequential(*_norm(channels))))


class _Eesp(nn.Module):
    """Spatial pyramid: a narrow projection through ever wider depth-wise kernels, joined.

    `limit` is the largest kernel, by dilation; `plain` leaves out the last activation.
    """

    def __init__(self, inputs: int, outputs: int, limit: int, stride: int = 1, plain: bool = False):
        super().__init__()
        self.plain = plain
        narrow = outputs // BRANCHES
        kernels = [3 + 2 * k for k in range(BRANCHES)]
        dilations = sorted((kernel - 1) // 2 if kernel <= limit else 1 for kernel in kernels)
        self.proj_1x1 = _cba(inputs, narrow, 1, groups=BRANCHES)
        self.spp_dw = nn.ModuleList(
            _named(("conv", _conv(narrow, narrow, 3, stride, narrow, dilation)))
            for dilation in dilations
        )
        self.conv_1x1_exp = _cba(outputs, outputs, 1, groups=BRANCHES, act=False)
        self.br_after_cat = _named(("bn", nn.BatchNorm2d(outputs)), ("act", nn.PReLU(outputs)))
        self.module_act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.proj_1x1(x)
        sums: list[Tensor] = []
        for branch in self.spp_dw:
            sums.append(branch(narrow) + (sums[-1] if sums else 0))
        y: Tensor = self.conv_1x1_exp(self.br_after_cat(torch.cat(sums, 1)))
        if self.plain:
            return y
        return cast("Tensor", self.module_act(y + x if y.shape == x.shape else y))


class _Down(nn.Module):
    """Halves a level: averages beside a pyramid, and the picture itself added."""

    def __init__(self, inputs: int, outputs: int, limit: int):
        super().__init__()
        self.eesp = _Eesp(inputs, outputs - inputs, limit, stride=2, plain=True)
        self.inp_reinf = nn.Sequential(_cba(3, 3, 3), _cba(3, outputs, 1, act=False))
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        halved = F.avg_pool2d(x, 3, 2, 1)
        while picture.shape[-2] > halved.shape[-2]:
            picture = F.avg_pool2d(picture, 3, 2, 1)
        joined = torch.cat([halved, self.eesp(x)], 1)
        return cast("Tensor", self.act(joined + self.inp_reinf(picture)))


class _Pyramid(nn.Module):
    """Pyramid pooling: depth-wise convolutions at five scales of the map, joined."""

    SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)

    def __init__(self, inputs: int, outputs: int, last: bool = False):
        super().__init__()
        width, scales = CLASSES // 2, len(self.SCALES)
        self.projection_layer = _cbr(inputs, width, 1)
        self.stages = nn.ModuleList(_conv(width, width, 3, groups=width) for _ in self.SCALES)
        self.merge_layer = nn.Sequential(
            _br(width * scales),
            nn.ChannelShuffle(scales),
            _cbr(width * scales, width, 3, groups=width),
            nn.Conv2d(width, outputs, 1, bias=last),
        )
        self.br = nn.Identity() if last else _br(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.projection_layer(x)
        maps = [self._scaled(x, *stage) for stage in zip(self.SCALES, self.stages, strict=True)]
        return cast("Tensor", self.br(self.merge_layer(torch.cat(maps, 1))))

    @staticmethod
    def _scaled(x: Tensor, scale: float, conv: nn.Module) -> Tensor:
        height, width = x.shape[-2:]
        size = max(5, math.ceil(height * scale)), max(5, math.ceil(width * scale))
        if scale > 1:
            return F.adaptive_avg_pool2d(conv(_resized(x, size)), (height, width))
        if scale < 1:
            return _resized(conv(F.adaptive_avg_pool2d(x, size)), (height, width))
        return cast("Tensor", conv(x))


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


class _Gate(nn.Module):
    """A level of the encoder for the decoder, its channels weighed by their means."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.wt_layer = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), _conv(inputs, outputs, 1), nn.Sigmoid()
        )
        self.expansion_layer = _cbr(inputs, outputs, 3, groups=math.gcd(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.expansion_layer(x) * self.wt_layer(x))


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        one, two, three, four = WIDTHS
        self.level1 = _cba(3, one, 3, 2)
        self.level2_0 = _Down(one, two, 13)
        self.level3_0 = _Down(two, three, 11)
        self.level3 = nn.Sequential(*(_Eesp(three, three, 9) for _ in range(3)))
        self.level4_0 = _Down(three, four, 9)
        self.level4 = nn.Sequential(*(_Eesp(four, four, 7) for _ in range(7)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Levels at strides 16, 8, 4, 2."""
        one = self.level1(x)
        two = self.level2_0(one, x)
        three = self.level3(self.level3_0(two, x))
        return [self.level4(self.level4_0(three, x)), three, two, one]


class EspNetV2(Segmentation, nn.Module):
    """ESPNetv2 (s = 2.0) with Pascal VOC's background and 20 classes."""

    name = "espnetv2"
    side = SHORT * 4 // 3  # of a picture of 4:3
    multiple = 32
    fingerprint: str

    def __init__(self) -> None:
        """Make the network with weights not yet loaded."""
        super().__init__()
        self.base_net = _Encoder()
        levels = (WIDTHS[3], *DECODED)
        for k, (inputs, outputs) in enumerate(zip(levels, DECODED, strict=False), 1):
            self.add_module(f"bu_dec_l{k}", _Pyramid(inputs, outputs, last=k == len(DECODED)))
        for k, (inputs, outputs) in enumerate(zip(WIDTHS[2::-1], DECODED, strict=False), 2):
            self.add_module(f"merge_enc_dec_l{k}", _Gate(inputs, outputs))
            self.add_module(f"bu_br_l{k}", nn.Sequential(*_norm(outputs)))

    def forward(self, x: Tensor) -> Tensor:
        """Network's input [B,3,H,W] -> logits [B,21,H,W]."""
        return _resized(self._decoded(x)[-1], (x.shape[-2], x.shape[-1]))

    def _decoded(self, x: Tensor) -> list[Tensor]:
        """The decoder's levels at strides 16, 8, 4, 2; the last are the logits."""
        coarsest, *finer = self.base_net(x)
        levels = [self.get_submodule("bu_dec_l1")(coarsest)]
        for k, level in enumerate(finer, 2):
            below = _resized(levels[-1], (level.shape[-2], level.shape[-1]))
            merged = self.get_submodule(f"merge_enc_dec_l{k}")(level) + below
            merged = self.get_submodule(f"bu_br_l{k}")(merged)
            levels.append(self.get_submodule(f"bu_dec_l{k}")(merged))
        return levels

    def preprocess(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in [0,1] -> short side about 384, normalised; differentiable."""
        return INPUT.differentiable(x)

    def features(self, x: Tensor) -> list[Tensor]:
        """Decoder's levels [B,64,H/16,W/16], [B,48,H/8,W/8], [B,32,H/4,W/4]; differentiable.

        x: RGB [B,3,H,W] in [0,1], taken as it is. Raises UsageError where H or W is no multiple
        of 32.
        """
        check_sides(self, x)
        return self._decoded(INPUT.normalise(x * 255))[:-1]

    @torch.inference_mode()
    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> Labels:
        """Labels of a picture uint8 [H,W,3], at `size` (width, height), by default its own."""
        weight = next(self.parameters())
        logits = self(INPUT.tensor(picture).to(weight.device, weight.dtype))
        width, height = size or (picture.shape[1], picture.shape[0])
        return segmentation.label(logits, (height, width))


def load_espnetv2(path: str | Path | None = None) -> EspNetV2:
    """ESPNetv2 with the published weights, frozen, in evaluation mode.

    path: the .pth file or its folder; by default `weights.locate` looks for it. Raises
    MissingWeightsError where it cannot be had.
    """
    network = EspNetV2()
    file = weights.locate(FILE, path)
    network.load_state_dict(weights.load_state(file))
    network.fingerprint = weights.fingerprint(file, input=INPUT)
    return network.eval().requires_grad_(False)
