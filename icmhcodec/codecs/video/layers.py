"""What the networks of both video codecs are made of; kernels are odd, sides even."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.entropy.regions import DECONVOLUTION, Step, convolution
from icmhcodec.errors import FormatError


class Conv(nn.Conv2d):
    """A convolution that keeps the size, or divides it by its stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2)

    @property
    def step(self) -> Step:
        """Which features it sees."""
        return convolution(self.kernel_size[0], self.stride[0])


class PreciseConv(Conv):
    """A convolution in float32, whatever is around it: what it gives are positions.

    8 pixels in bfloat16 are off by 0.03, by 0.004 where a GPU has TF32, which is torch's default.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Float32 [B,C',H,W] of x [B,C,H,W]."""
        with torch.autocast(x.device.type, enabled=False):
            padding = self.kernel_size[0] // 2
            return F.conv2d(x.float(), self.weight.float(), self.bias, padding=padding)


class NarrowConv(PreciseConv):
    """A convolution in float32 to a few channels, of many.

    What each input is worth to all the outputs that it reaches is one product of matrices, and
    those are then added up: libraries of convolutions compute sixteen channels where two are
    wanted. Inputs become float32 part by part, which stays in the processor's cache.
    """

    PART = 1 << 13  # positions

    def forward(self, x: Tensor) -> Tensor:
        """Float32 [B,C',H,W] of x [B,C,H,W]."""
        size = self.kernel_size[0]
        with torch.autocast(x.device.type, enabled=False):
            kernels = self.weight.float().flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2)
            parts = torch.split(x.flatten(2), self.PART, 2)
            worth = torch.cat([kernels @ part.float() for part in parts], 2)
            y = F.fold(worth, x.shape[2:], size, padding=size // 2)
            assert self.bias is not None
            return y.add_(self.bias.float()[:, None, None])


class Deconv(nn.ConvTranspose2d):
    """A transposed convolution that doubles the size."""

    step = DECONVOLUTION  # a kernel of 3 sees less than it says

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, 2, kernel // 2, output_padding=1)


class ResBlock(nn.Module):
    """x + conv(ReLU(conv(x))), or with a ReLU before the first convolution, too."""

    step = convolution(5)

    def __init__(self, channels: int, enter: bool = False) -> None:
        super().__init__()
        self.enter = enter
        self.first = Conv(channels, channels, 3)
        self.second = Conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B,C,H,W] of features [B,C,H,W]."""
        features = torch.relu(x) if self.enter else x
        y: Tensor = self.second(torch.relu_(self.first(features)))
        return y.add_(x)


class ResBlocks(nn.Sequential):
    """x + three residual blocks of it (FVC's)."""

    step = convolution(13)

    def __init__(self, channels: int) -> None:
        super().__init__(*(ResBlock(channels) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B,C,H,W] of features [B,C,H,W]."""
        y = x
        for block in self:
            y = block(y)
        return x + y


def side(tensors: Mapping[str, Tensor], name: str, dim: int) -> int:
    """A side of a stored kernel: sizes are read off them; FormatError where there is none."""
    kernel = tensors.get(name)
    if kernel is None or kernel.ndim != 4 or not kernel.numel():
        raise FormatError(f"{name}: no such kernel in the weights; take another file")
    return kernel.shape[dim]
