"""What clips have in common: their description, their frames and their packets of sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from numpy.typing import NDArray

# Code points of ITU-T H.273 for matrix coefficients, and swscale's names for them.
MATRICES = {1: "itu709", 4: "fcc", 5: "itu601", 6: "itu601", 7: "smpte240m", 9: "bt2020"}
UNKNOWN = 2
STANDARD_DEFINITION = (1280, 720)


class ClipColour(NamedTuple):
    """Code points of ITU-T H.273 (2: unknown) and whether the range is full."""

    primaries: int = UNKNOWN
    transfer: int = UNKNOWN
    matrix: int = UNKNOWN
    full: bool = False


UNKNOWN_COLOUR = ClipColour()


@dataclass(frozen=True)
class ClipAudio:
    """A stream of sound: FFmpeg's names of codec and layout, samples per second, extradata."""

    codec: str
    rate: int
    layout: str
    time_base: Fraction
    extradata: bytes = b""


@dataclass(frozen=True)
class ClipInfo:
    """What holds for a whole clip; `width` and `height` are those of upright frames.

    Times are in units of `time_base` seconds. `rate` is in frames per second, 0 if it is not known,
    `step` the usual time from frame to frame, `frames` how many there may be.
    """

    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    step: int = 1
    aspect: Fraction = Fraction(1)
    colour: ClipColour = UNKNOWN_COLOUR
    audio: tuple[ClipAudio, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    frames: int | None = None


@dataclass(frozen=True, eq=False)
class ClipFrame:
    """A frame: pixels uint8 [H,W,3] and its presentation time."""

    pixels: NDArray[Any]
    time: int


@dataclass(frozen=True)
class ClipPacket:
    """A packet of sound: index of its stream, time and duration in that stream's units, bytes."""

    stream: int
    time: int
    duration: int
    data: bytes


def usual_matrix(width: int, height: int) -> int:
    """The matrix that players assume where a clip does not say: BT.709 from 1280x720 on, or BT.601.

    The upright clips of a phone count by their longer side.
    """
    wide, high = STANDARD_DEFINITION
    large = max(width, height) >= wide or min(width, height) >= high
    return 1 if large else 6
