"""Exact integer networks: the hyper-decoder and the mask predictors, equal on every machine.

A layer takes integers of at most 2^15 - 2^8 with a few fractional bits, multiplies them with
integer weights (`round(W * 2^e)`, e per output channel), adds an integer bias and gives
`floor((sum + 2^(shift - 1)) / 2^shift)`, shift per output channel, clamped, then activated.
All partial sums are integers below 2^53, which is proved per output channel on load: float64 holds
them exactly, in whatever order they are added. That is the reference. The fast path splits values
and weights into signed digits, `256 a + b` and `128 c + d`, for int8 matrix products. Weight digits
have 7 bits so that two products of an unsigned and a signed byte fit the saturating 16-bit sums
that processors without VNNI use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, cached_property
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor

from icmhcodec.container import Region
from icmhcodec.entropy import regions
from icmhcodec.entropy.regions import DECONVOLUTION, Size, Step, convolution, upsampling, whole
from icmhcodec.errors import FormatError, UsageError

VALUE_LIMIT = 2**15 - 2**8  # values between layers: the upper digit stays in [-128, 127]
WEIGHT_LIMIT = 2**13 - 2**6 - 1  # the upper digit stays in [-64, 63]
WEIGHTS_LIMIT = 2**23  # sum of |W| per output: 255 of it stay within int32
OUTPUT_LIMIT = 2**23  # values after the last layer
EXACT = 2**53  # float64 holds every integer up to here
MOST_SHIFT = 40
LEAK, LEAK_BITS = 655, 16  # LeakyReLU's slope of 0.01 as 655 / 2^16
BLOCK = 2**24  # bytes of an unfolded block of rows


class Kind(IntEnum):
    """What a layer computes; the number is its code in the weights."""

    CONV = 0  # odd kernel, stride 1, zero padding to the same size; weight [O, I, k, k]
    DECONV = 1  # transposed, 5x5, stride 2, padding 2, output padding 1; weight [I, O, 5, 5]
    DEPTHWISE = 2  # odd kernel, stride 1, zero padding to the same size; weight [C, 1, k, k]
    SUBPIXEL = 3  # as CONV; 4 outputs each become 2x2 positions of a channel; weight [4 O, I, k, k]


class Activation(IntEnum):
    """What follows a layer; the number is its code in the weights."""

    NONE = 0
    RELU = 1
    LEAKY = 2


@dataclass(frozen=True)
class FloatLayer:
    """A layer before quantisation: torch's weight and bias, and its output's fractional bits.

    output_bits may differ per output channel (integers [O]) in the last layer.
    """

    weight: Tensor
    bias: Tensor | None
    output_bits: int | Tensor
    kind: Kind = Kind.CONV
    activation: Activation = Activation.NONE

    def __call__(self, x: Tensor) -> Tensor:
        """What the layer gives in float64, [C', scale H, scale W], of x [C, H, W]."""
        weight, x = self.weight.detach().cpu().double(), x.double()[None]
        bias = None if self.bias is None else self.bias.detach().cpu().double()
        if self.kind is Kind.DECONV:
            x = F.conv_transpose2d(x, weight, bias, stride=2, padding=2, output_padding=1)
        else:
            groups = len(weight) if self.kind is Kind.DEPTHWISE else 1
            x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)
        if self.kind is Kind.SUBPIXEL:
            x = F.pixel_shuffle(x, 2)
        if self.activation is Activation.NONE:
            return x[0]
        return F.leaky_relu(x, 0.01 if self.activation is Activation.LEAKY else 0.0)[0]


def quantise(
    layers: Sequence[FloatLayer], input_bits: int, extra: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the tensors of an IntegerNetwork, weights as fine as the limits allow.

    Weights are rounded to float16 first: integers follow the exported weights. extra, float [O], is
    the largest magnitude of what a call adds to the first layer's output before its activation.
    Raises UsageError for weights that no scale fits.
    """
    tensors: dict[str, Tensor] = {}
    bits: int | Tensor = input_bits
    for i, layer in enumerate(layers):
        weight = _outputs_first(layer.weight.detach().cpu().half().double(), layer.kind)
        bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach().cpu()
        if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise UsageError(f"integer network: layer {i} has weights that are not finite")
        exponent = _exponents(weight)
        sum_bits = exponent + bits
        output_bits = torch.as_tensor(layer.output_bits).long()
        if isinstance(bits, Tensor) or (sum_bits < output_bits).any():
            raise UsageError(f"integer network: layer {i} has too large weights or too many bits")
        integer = (weight * _power(exponent)[:, None, None, None]).round().short()
        tensors[f"{i}.weight"] = _outputs_first(integer, layer.kind).contiguous()
        tensors[f"{i}.bias"] = (bias.double() * _power(sum_bits)).round().long()
        tensors[f"{i}.shift"] = (sum_bits - output_bits).int()
        tensors[f"{i}.spec"] = torch.tensor([layer.kind, layer.activation], dtype=torch.int32)
        if i == 0:
            limit = torch.zeros(len(weight)) if extra is None else extra.detach().cpu().abs()
            tensors["extra"] = (limit.double() * _power(sum_bits)).ceil().long()
        bits = layer.output_bits
    IntegerNetwork(tensors)  # proves the bounds
    return tensors


def _exponents(weight: Tensor) -> Tensor:
    """Return the largest exponents [O] with which float64 weights [O, ...] keep both limits."""
    size = weight.flatten(1).abs()
    size = torch.maximum(size.amax(1) / WEIGHT_LIMIT, size.sum(1) / (WEIGHTS_LIMIT - 2**20))
    # size < 2^exponent; weights below 2^-12 of the usual range are as good as zero
    return -torch.frexp(size.clamp_min(2.0**-25)).exponent.long()


def to_extra(tensors: Mapping[str, Tensor], values: Tensor, output_bits: int) -> Tensor:
    """Bring floats [..., O] to the scale of the first layer's sums, int64: a call's `extra`.

    output_bits are the fractional bits that the first layer was given.
    """
    sum_bits = tensors["0.shift"].long() + output_bits
    return (values.detach().cpu().double() * _power(sum_bits)).round().long()


def _power(exponent: Tensor) -> Tensor:
    """Return 2^exponent as float64, put together from its bits: no library's pow decides."""
    return ((exponent.long() + 1023) << 52).view(torch.float64)


def _outputs_first(weight: Tensor, kind: Kind) -> Tensor:
    return weight.transpose(0, 1) if kind is Kind.DECONV else weight


class _Window:
    """Weighted sums over a window of the padded input; which of the outputs, says the phase."""

    def __init__(self, weight: Tensor, rows: Sequence[int], columns: Sequence[int]) -> None:
        """Take kernel rows and columns of an integer weight [O, I, k, k]."""
        taps = weight[:, :, list(rows)][:, :, :, list(columns)]
        self.rows, self.columns = len(rows), len(columns)
        self.matrix = taps.permute(2, 3, 1, 0).reshape(-1, len(weight))  # [rows * columns * I, O]

    @cached_property
    def exact(self) -> Tensor:
        return self.matrix.double()

    @cached_property
    def digits(self) -> Tensor:
        matrix = self.matrix.int()
        upper = (matrix + 64) >> 7
        both = torch.cat([upper, matrix - (upper << 7)], 1)  # [rows * columns * I, 2 O]
        return both.to(torch.int8)

    def unfold(self, planes: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
        """Return [P * height * width, rows * columns * C] of contiguous planes [P, H, W, C]."""
        _, H, W, C = planes.shape
        size = (len(planes), height, width, self.rows, self.columns * C)
        stride = (H * W * C, W * C, C, W * C, 1)
        view = planes.as_strided(size, stride, planes.storage_offset() + (top * W + left) * C)
        return view.reshape(-1, len(self.matrix))

    def sums(self, columns: Tensor) -> Tensor:
        """Return the sums, float64 [n, O], of unfolded float64 values or their int8 digits."""
        if columns.dtype == torch.float64:
            return columns @ self.exact
        products = torch._int_mm(columns, self.digits)
        upper, lower = products.view(2, -1, 2, products.shape[1] // 2).unbind()
        upper = torch.add(upper[:, 1], upper[:, 0], alpha=128)
        lower = torch.add(lower[:, 1], lower[:, 0], alpha=128)
        return upper.double().mul_(256).add_(lower)


# Kernel rows of a layer's windows: (first row of the padded input, kernel rows, output phase).
# Output row 2 m of CompressAI's transposed convolution sees input rows m - 1, m, m + 1 through
# kernel rows 4, 2, 0, output row 2 m + 1 sees m, m + 1 through 3, 1.
_DECONV = ((0, (4, 2, 0), 0), (1, (3, 1), 1))


class _Layer:
    """One layer, proved on construction to be exact for every input within VALUE_LIMIT."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, last: bool) -> None:
        """Take tensors name.weight, .bias, .shift, .spec; ValueError where nothing is proved."""
        kind, activation = tensors[f"{name}.spec"].tolist()
        self.kind, self.activation = Kind(kind), Activation(activation)
        weight = _outputs_first(tensors[f"{name}.weight"], self.kind)
        bias, shift = tensors[f"{name}.bias"], tensors[f"{name}.shift"]
        extra = tensors["extra"] if name == "0" else torch.zeros_like(bias)
        self.sums, depth, self.kernel, width = weight.shape
        self.outputs = self.sums // 4 if self.kind is Kind.SUBPIXEL else self.sums
        self.inputs = self.outputs if self.kind is Kind.DEPTHWISE else depth
        self.scale = 2 if self.kind in (Kind.DECONV, Kind.SUBPIXEL) else 1
        self.padding = 1 if self.kind is Kind.DECONV else self.kernel // 2
        self.grid = _grid(self.kind, self.kernel)
        self.limit = OUTPUT_LIMIT if last else VALUE_LIMIT
        _check_shapes(self, weight, bias, shift, extra, width)
        half = _power(shift - 1).floor()  # 0 where nothing is shifted out
        _prove(weight, bias, half, extra)
        self.extra = extra
        self.offset = bias.double() + half
        self.step = _power(-shift)
        self.taps = weight[:, 0].permute(1, 2, 0).double()  # [k, k, C], of a depth-wise layer
        self.windows: list[tuple[_Window, tuple[int, int], tuple[int, int]]] = []
        if self.kind in (Kind.CONV, Kind.SUBPIXEL):
            rows = range(self.kernel)
            self.windows = [(_Window(weight, rows, rows), (0, 0), (0, 0))]
        if self.kind is Kind.DECONV:
            self.windows = [
                (_Window(weight, rows, columns), (top, left), (a, b))
                for top, rows, a in _DECONV
                for left, columns, b in _DECONV
            ]

    def __call__(self, x: Tensor, extra: Tensor | None, last: bool, fast: bool) -> Tensor:
        """Map int32 [H, W, C] to int32 [scale H, scale W, O]."""
        height, width, _ = x.shape
        size = (height * self.scale, width * self.scale)
        y = x.new_empty(*size, self.outputs)
        if last:  # channel-major in memory
            y = x.new_empty(self.outputs, *size).permute(1, 2, 0)
        offset = self.offset if extra is None else self.offset + extra
        planes = _planes(x, self.padding, fast and self.kind is not Kind.DEPTHWISE)
        for top, rows, (a, b), sums in self._sums(planes, height, width):
            block = _requantise(sums, offset, self.step, self.limit, self.activation)
            if self.kind is Kind.SUBPIXEL:
                target = y[2 * top : 2 * (top + rows)].view(rows, 2, width, 2, self.outputs)
                target = target.permute(0, 2, 4, 1, 3)
            else:
                target = y[self.scale * top + a :: self.scale, b :: self.scale][:rows]
            target.copy_(block.view(target.shape))
        return y

    def _sums(
        self, planes: Tensor, height: int, width: int
    ) -> Iterator[tuple[int, int, tuple[int, int], Tensor]]:
        """Yield first row, number of rows, phase and float64 sums [rows * width, O] of blocks."""
        if self.kind is Kind.DEPTHWISE:
            for top, rows in _blocks(height, 3 * 8 * width * self.inputs):
                yield top, rows, (0, 0), self._depthwise(planes[0], top, rows, width)
        for window, (first, left), phase in self.windows:
            row_bytes = len(planes) * width * len(window.matrix) * planes.element_size()
            for top, rows in _blocks(height, row_bytes):
                columns = window.unfold(planes, first + top, left, rows, width)
                yield top, rows, phase, window.sums(columns)

    def _depthwise(self, plane: Tensor, top: int, rows: int, width: int) -> Tensor:
        sums = plane.new_zeros(rows, width, self.inputs)
        for i, j in product(range(self.kernel), repeat=2):
            sums.addcmul_(plane[top + i : top + i + rows, j : j + width], self.taps[i, j])
        return sums.view(-1, self.inputs)


def _grid(kind: Kind, kernel: int) -> Step:
    if kind is Kind.SUBPIXEL:
        return upsampling(kernel // 2)
    return DECONVOLUTION if kind is Kind.DECONV else convolution(kernel)


def _check_shapes(
    layer: _Layer, weight: Tensor, bias: Tensor, shift: Tensor, extra: Tensor, width: int
) -> None:
    kinds = (weight.dtype, bias.dtype, shift.dtype, extra.dtype)
    if kinds != (torch.int16, torch.int64, torch.int32, torch.int64):
        raise ValueError("a type")
    deconvolution = layer.kind is Kind.DECONV
    if layer.kernel != width or layer.kernel % 2 == 0 or (deconvolution and layer.kernel != 5):
        raise ValueError("a kernel's size")
    if layer.kind is Kind.SUBPIXEL and layer.sums % 4:
        raise ValueError("the number of channels")
    if layer.kind is Kind.DEPTHWISE and weight.shape[1] != 1:
        raise ValueError("a kernel's depth")
    if not bias.shape == shift.shape == extra.shape == (layer.sums,):
        raise ValueError("the number of biases or shifts")
    if shift.min() < 0 or shift.max() > MOST_SHIFT:
        raise ValueError("a shift")


def _prove(weight: Tensor, bias: Tensor, half: Tensor, extra: Tensor) -> None:
    """Prove per output channel that every sum is exact, in float64 and in products of digits."""
    size = weight.flatten(1).long().abs()
    if size.max() > WEIGHT_LIMIT or (size.sum(1) >= WEIGHTS_LIMIT).any():
        raise ValueError("the size of weights")
    if bias.min() <= -EXACT or bias.max() >= EXACT or extra.min() < 0 or extra.max() >= EXACT:
        raise ValueError("the size of a bias")
    if (size.sum(1) * VALUE_LIMIT + bias.abs() + extra + half.long() >= EXACT).any():
        raise ValueError("sums of 2^53 or more")


def _blocks(height: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """Cut rows into blocks of about BLOCK bytes: (first row, number of rows)."""
    step = max(1, BLOCK // row_bytes)
    for top in range(0, height, step):
        yield top, min(step, height - top)


def _planes(x: Tensor, padding: int, fast: bool) -> Tensor:
    """Pad int32 [H, W, C] with zeros: float64 [1, ...], or its int8 digits [2, ...]."""
    if not fast:
        return F.pad(x.double(), (0, 0, padding, padding, padding, padding))[None].contiguous()
    height, width, channels = x.shape
    planes = torch.zeros(
        2, height + 2 * padding, width + 2 * padding, channels, dtype=torch.int8, device=x.device
    )
    inside = planes[:, padding : padding + height, padding : padding + width]
    upper = (x + 128) >> 8
    inside[0] = upper
    inside[1] = x - (upper << 8)
    return planes


def _requantise(
    sums: Tensor, offset: Tensor, step: Tensor, limit: int, activation: Activation
) -> Tensor:
    """Return floor((sums + offset) * step), clamped and activated; exact in float64, in place."""
    values = sums.add_(offset).mul_(step).floor_().clamp_(-limit, limit)
    if activation is Activation.RELU:
        values.clamp_min_(0)
    if activation is Activation.LEAKY:
        half = 2 ** (LEAK_BITS - 1)
        leak = values.mul(LEAK).add_(half).mul_(2.0**-LEAK_BITS).floor_()
        values = torch.maximum(values, leak)
    return values


@cache
def _digits_are_exact() -> bool:
    """Whether this processor's int8 product holds on the largest digits: a net below the proof."""
    values = torch.tensor([-128, 127, -127, 0, 127], dtype=torch.int8).repeat(64, 64)
    values[1], values[2] = -128, 127
    weights = torch.tensor([-64, 63, -64, -64], dtype=torch.int8).repeat(80)[:, None]
    weights = torch.cat([weights, torch.full_like(weights, -64), torch.full_like(weights, 63)], 1)
    weights = weights.repeat(1, 16).contiguous()
    return torch.equal(torch._int_mm(values, weights).double(), values.double() @ weights.double())


def _fast(device: torch.device) -> bool:
    """Whether int8 products pay: without oneDNN they are slow loops, and GPUs have float64."""
    mkldnn = torch.backends.mkldnn
    here = device.type == "cpu" and bool(mkldnn.is_available()) and bool(mkldnn.enabled)  # type: ignore[no-untyped-call]
    return here and _digits_are_exact()


class IntegerNetwork:
    """A sequence of integer layers, built from the tensors of `quantise` under a prefix.

    Raises FormatError for tensors whose sums are not proved to be exact.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], prefix: str = "", device: torch.device | str = "cpu"
    ) -> None:
        """Check shapes and bounds; the device needs float64."""
        own = {k[len(prefix) :]: v.to(device) for k, v in tensors.items() if k.startswith(prefix)}
        count = sum(name.endswith(".spec") for name in own)
        try:
            self._layers = [_Layer(own, str(i), i == count - 1) for i in range(count)]
            if not count or any(a.outputs != b.inputs for a, b in pairwise(self._layers)):
                raise ValueError("the number of channels")
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
            raise FormatError(f"integer network {prefix}: {error} does not fit") from error
        self.inputs, self.outputs = self._layers[0].inputs, self._layers[-1].outputs
        self.scale = math.prod(layer.scale for layer in self._layers)

    def __call__(
        self,
        x: Tensor,
        extra: Tensor | None = None,
        *,
        reference: bool = False,
        region: Region | None = None,
    ) -> Tensor:
        """Map integers [C, H, W] to int32 [C', scale H, scale W], the same on every machine.

        extra, int64 [O], is added to the first layer's sums (`to_extra`). Inputs are clamped to
        +-VALUE_LIMIT. reference takes float64 products where int8 ones are faster. Of the output
        only the region is computed and returned, all of it where none is given.
        """
        if x.ndim != 3 or len(x) != self.inputs or x.is_floating_point() or not x.numel():
            raise UsageError(f"integer network: the input is integers [{self.inputs}, H, W]")
        extra = None if extra is None else self._checked(extra.to(x.device))
        fast = not reference and _fast(x.device)
        height, width = x.shape[1:]
        region = region or whole((height * self.scale, width * self.scale))
        steps = [layer.grid for layer in self._layers]
        places = regions.plan(steps, (height, width), region)
        x = regions.crop(x, places[0]).clamp(-VALUE_LIMIT, VALUE_LIMIT).int()
        with torch.no_grad():
            for layer, step, (before, after) in zip(
                self._layers, steps, pairwise(places), strict=True
            ):
                y = layer(x.permute(1, 2, 0), extra, layer is self._layers[-1], fast)
                x = regions.cut(y.permute(2, 0, 1), step, before, after)
                extra = None
        return x

    def needed(self, region: Region, size: Size) -> Region:
        """The region of an input of `size` that a region of the output is computed from."""
        return regions.plan([layer.grid for layer in self._layers], size, region)[0]

    def _checked(self, extra: Tensor) -> Tensor:
        limit = self._layers[0].extra
        if extra.shape != limit.shape or extra.is_floating_point() or (extra.abs() > limit).any():
            raise UsageError("integer network: what is added to the first layer exceeds its bound")
        return extra
