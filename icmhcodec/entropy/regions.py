"""Regions of grids: what each layer of a network must see to give a part of its output.

A network that runs on a part of its input pads it with zeros where the whole would go on. What that
spoils is cut off after every layer; at the borders of the whole it is what the whole does, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from icmhcodec.container import Region, Span

Size = tuple[int, int]  # rows and columns
Source = Callable[[Region], Tensor]  # the part [..., rows, columns] of a grid


@dataclass(frozen=True)
class Step:
    """A layer: which of its inputs a span of outputs needs, and how sizes change, up / down.

    The first input that is needed must be a multiple of `down`.
    """

    needed: Callable[[Span], Span] = lambda span: span
    up: int = 1
    down: int = 1


def convolution(kernel: int, stride: int = 1) -> Step:
    """A convolution with an odd kernel and kernel // 2 zeros around its input."""
    reach = -(-(kernel // 2) // stride)
    return Step(lambda s: (stride * (s[0] - reach), stride * (s[1] + reach)), down=stride)


def upsampling(reach: int) -> Step:
    """A layer that doubles sides: outputs 2 m and 2 m + 1 see inputs m - reach to m + reach."""
    return Step(lambda s: (s[0] // 2 - reach, -(-s[1] // 2) + reach), up=2)


DECONVOLUTION = upsampling(1)  # a transposed convolution 5x5 of stride 2


def chain(*steps: Step) -> Step:
    """Layers one after the other, taken as one."""
    up, down = (math.prod(side) for side in zip(*((s.up, s.down) for s in steps), strict=True))

    def needed(span: Span) -> Span:
        for step in reversed(steps):
            span = step.needed(span)
        return span[0] - span[0] % down, span[1]

    return Step(needed, up, down)


def whole(size: Size) -> Region:
    """The region that is all of a grid."""
    return (0, size[0]), (0, size[1])


def size_of(region: Region) -> Size:
    """Rows and columns of a region."""
    return region[0][1] - region[0][0], region[1][1] - region[1][0]


def clipped(region: Region, size: Size) -> Region:
    """What of a region lies in a grid; nothing at its border where they do not meet."""
    (top, bottom), (left, right) = (
        (min(max(first, 0), side), min(max(last, 0), side))
        for (first, last), side in zip(region, size, strict=True)
    )
    return (top, bottom), (left, right)


def grown(region: Region, by: int) -> Region:
    """A region with so many positions more on each side."""
    (top, bottom), (left, right) = region
    return (top - by, bottom + by), (left - by, right + by)


def scaled(region: Region, factor: int) -> Region:
    """The same region on a grid that is so many times finer."""
    (top, bottom), (left, right) = region
    return (top * factor, bottom * factor), (left * factor, right * factor)


def coarse(region: Region, factor: int) -> Region:
    """The positions of a grid so many times coarser that a region touches."""
    (top, bottom), (left, right) = region
    return (top // factor, -(-bottom // factor)), (left // factor, -(-right // factor))


def blocks(region: Region, side: int) -> Iterator[Region]:
    """The parts of a region in the squares of a grid that is anchored at the origin."""
    (top, bottom), (left, right) = region
    for i in range(top // side, -(-bottom // side)):
        for j in range(left // side, -(-right // side)):
            yield (
                (max(top, i * side), min(bottom, (i + 1) * side)),
                (max(left, j * side), min(right, (j + 1) * side)),
            )


def crop(x: Tensor, wanted: Region, origin: Size = (0, 0)) -> Tensor:
    """A region of x [..., rows, columns], whose first position is the origin; a view."""
    (top, bottom), (left, right) = wanted
    row, column = origin
    return x[..., top - row : bottom - row, left - column : right - column]


def plan(steps: Sequence[Step], size: Size, region: Region) -> list[Region]:
    """The regions before each layer that a region after the last needs, and that region itself.

    `size` is that of the whole input.
    """
    sizes = [size]
    for step in steps:
        rows, columns = sizes[-1]
        sizes.append((-(-rows * step.up // step.down), -(-columns * step.up // step.down)))
    regions = [region]
    for step, before in zip(reversed(steps), reversed(sizes[:-1]), strict=True):
        first, second = regions[-1]
        regions.append(clipped((step.needed(first), step.needed(second)), before))
    return regions[::-1]


def cut(x: Tensor, step: Step, before: Region, after: Region) -> Tensor:
    """Of a layer's output on the region before it, what is right: the region after it."""
    (top, _), (left, _) = before
    return crop(x, after, (top * step.up // step.down, left * step.up // step.down))
