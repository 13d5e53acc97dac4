"""What the bench asks of a compared codec and of a data set; the words that its parts share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from icmhcodec.imageio.clip import ClipInfo

Pixels = npt.NDArray[np.uint8]
HUMAN = "human"


@dataclass(frozen=True)
class Sample:
    """One picture or clip of a data set and what is known about it.

    `truths` by task: "cls" a class index (0-based ImageNet-1k), "det" a list of COCO annotations
    (dicts with category_id, bbox x, y, w, h, area, iscrowd; "segmentation" where there is one),
    "seg" the path of a PNG of class indexes (255: ignored); of a clip "cls" as well, and "seg" a
    list with the path of a frame's PNG of objects for each frame, None where there is none.
    """

    name: str  # unique in the data set, such as the path below its folder
    path: Path
    truths: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Pictures or clips of a folder in a recognised layout, one of `datasets.LAYOUTS`."""

    name: str
    layout: str
    samples: tuple[Sample, ...]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by task, where named
    notices: tuple[str, ...] = ()  # what of the set does not count, a line each


@dataclass(frozen=True)
class Decoded:
    """What a network or a viewer gets: uint8 [H,W,3], at the original's size unless `shrunk`."""

    pixels: Pixels
    shrunk: bool = False


@dataclass(frozen=True)
class Resources:
    """What a codec may use: threads of the CPU (None: as many as it likes), a device of torch."""

    threads: int | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Clips:
    """How clips are taken: at most `frames` of each (None: all), an I frame every `gop` frames."""

    frames: int | None = None
    gop: int = 12  # as DVC and FVC were compared on UVG and MCL-JCV


class ComparedCodec(Protocol):
    """A codec under test: real bytes out, picture back; one instance per worker process.

    One file may serve several readers: its `views` are task names and "human". Each view is a
    curve `name/profile/view` of its own and counts only the bytes that this reader needs.
    """

    name: str  # "jpeg", "icmh", "avif@416"
    profile: str  # "plain", "scalable", "machine" or "simulcast"
    views: tuple[str, ...]
    points: tuple[float, ...]  # default settings, from the smallest file to the largest

    def identity(self) -> dict[str, str]:
        """Programs, versions, fingerprints and options that decide the bytes and the picture."""

    def encode(self, pixels: Pixels, point: float) -> bytes:
        """The whole file of a picture, uint8 [H,W,3], at a setting."""

    def cut(self, data: bytes, view: str) -> bytes:
        """The part of the file that a view needs: for a task its split-off layers."""

    def decode(self, data: bytes, view: str) -> Decoded:
        """The picture that a view makes of what `cut` gave."""


class ClipCodec(Protocol):
    """A codec of clips under test: files out, frames back, one at a time; see `ComparedCodec`."""

    name: str
    profile: str
    views: tuple[str, ...]
    points: tuple[float, ...]

    def identity(self) -> dict[str, str]:
        """Programs, versions, fingerprints and options that decide the bytes and the frames."""

    def encode(self, frames: Iterable[Pixels], info: ClipInfo, point: float, target: Path) -> None:
        """Write the whole file of a clip, frames uint8 [H,W,3], at a setting."""

    def cut(self, source: Path, view: str, target: Path) -> Path:
        """The file that a view needs: `source` itself, or the part of it, written to `target`."""

    def decode(self, source: Path, view: str, info: ClipInfo) -> Iterator[Pixels]:
        """The frames that a view makes of the file that `cut` gave."""


AnyCodec = ComparedCodec | ClipCodec


@dataclass(frozen=True)
class Observation:
    """What one picture or clip contributes to one point of one curve: all of it fits into JSON.

    `human`: of pictures "mse" over all samples, of clips "psnr", the mean over frames; "ms_ssim",
    "lpips" where measured (absent where pictures have another size). `task`: what the network's
    `observe` returned, None without a network. `pixels` and times are those of all frames.
    """

    sample: str
    curve: str
    point: float
    pixels: int  # of the original
    bytes: int
    encode_s: float
    decode_s: float
    peak_mb: float
    human: Mapping[str, float]
    task: Mapping[str, Any] | None
    frames: int = 1


def curve_name(codec: AnyCodec, view: str) -> str:
    """Name of a curve: codec/profile/view."""
    return f"{codec.name}/{codec.profile}/{view}"
