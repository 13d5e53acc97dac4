"""What the project asks of a recognition network, and the registry of those it knows."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor

from icmhcodec.errors import UsageError

Pixels = npt.NDArray[np.uint8]
PredictionT = TypeVar("PredictionT")


class RecognitionNetwork(Protocol[PredictionT]):
    """A frozen network that reads pictures for one task.

    Results are collected picture by picture: `observe` keeps of a prediction what metrics need, as
    JSON-ready values, and `metric` sums up any list of observations (also with repetitions, for
    bootstrap intervals).
    """

    name: str
    task: str
    fingerprint: str  # first 16 hex digits of a SHA-256 over weights and settings
    side: int  # pixels that the input has on its long side (0: the network takes any size)
    multiple: int  # sides of the pictures given to `features` are multiples of this

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move the network as torch.nn.Module.to does."""

    def preprocess(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in [0,1], any size -> the network's own input; differentiable."""

    def features(self, x: Tensor) -> list[Tensor]:
        """RGB [B,3,H,W] in [0,1], not resized -> feature maps that the distortion compares."""

    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> PredictionT:
        """Result for one picture, uint8 [H,W,3].

        `size` (width, height) is the original's where `picture` is a shrunk copy: what is found is
        given in the original's pixels.
        """

    def observe(self, prediction: PredictionT, original: PredictionT, truth: Any) -> dict[str, Any]:
        """What metrics need of one picture, ready for JSON.

        `original` is the prediction on the uncompressed picture (for the agreement, which needs no
        labels), `truth` is `Sample.truths[task]`, None where there is none.
        """

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Task metrics in percent over these observations; "agreement" is always among them."""


# name: module and function that loads it from `path` (None: where `weights.locate` looks)
NETWORKS = {
    "efficientnet-lite2": "icmhcodec.tasks.efficientnet:load_lite2",
    "efficientnet-lite0": "icmhcodec.tasks.efficientnet:load_lite0",
    "resnet50": "icmhcodec.tasks.torchvision_models:load_resnet50",
    "yolox-nano": "icmhcodec.tasks.yolox:load_yolox",
    "faster-rcnn": "icmhcodec.tasks.torchvision_models:load_faster_rcnn",
    "mask-rcnn": "icmhcodec.tasks.torchvision_models:load_mask_rcnn",
    "espnetv2": "icmhcodec.tasks.espnetv2:load_espnetv2",
    "deeplabv3": "icmhcodec.tasks.torchvision_models:load_deeplabv3",
}

# the network that stands for a task where none is named
DEFAULT_NETWORKS = {
    "cls": "efficientnet-lite2",
    "det": "yolox-nano",
    "seg": "espnetv2",
}


def load_network(name: str, path: str | Path | None = None) -> RecognitionNetwork[Any]:
    """Network of this name, or of this task, in evaluation mode on the CPU.

    The name may also be the path of a TOML file that describes a network (see
    `icmhcodec.tasks.description`). `path` is a registered network's file or its folder. Raises
    UsageError for a name that is not registered or a description that is wrong,
    MissingWeightsError where a file or a package is not to be had.
    """
    if Path(name).suffix == ".toml":
        return _loader("icmhcodec.tasks.described:load_described")(name)
    entry = NETWORKS.get(DEFAULT_NETWORKS.get(name, name))
    if entry is None:
        known = ", ".join([*DEFAULT_NETWORKS, *NETWORKS])
        raise UsageError(
            f"no recognition network {name!r}; known: {known}; or a .toml file that describes one"
        )
    return _loader(entry)(path)


def _loader(entry: str) -> Callable[[str | Path | None], RecognitionNetwork[Any]]:
    module, function = entry.split(":")
    return cast(
        "Callable[[str | Path | None], RecognitionNetwork[Any]]",
        getattr(importlib.import_module(module), function),
    )


def check_sides(network: RecognitionNetwork[Any], x: Tensor) -> None:
    """UsageError unless the sides of x [B,C,H,W] are multiples of what its features need."""
    height, width = x.shape[-2:]
    if height % network.multiple or width % network.multiple:
        raise UsageError(
            f"features of {network.name} need sides that are multiples of {network.multiple}:"
            f" {width}x{height}"
        )
