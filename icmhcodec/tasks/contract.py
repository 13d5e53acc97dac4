"""What the project asks of a recognition network, and the registry of those it knows."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor

from icmhcodec.errors import UsageError

Pixels = npt.NDArray[np.uint8]
PredictionT = TypeVar("PredictionT")
TruthT = TypeVar("TruthT", contravariant=True)


class RecognitionNetwork(Protocol[PredictionT, TruthT]):
    """A frozen network that reads pictures for one task."""

    name: str
    task: str
    multiple: int  # sides of the pictures given to `features` are multiples of this

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move the network as torch.nn.Module.to does."""

    def preprocess(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in [0,1], any size -> the network's own input; differentiable."""

    def features(self, x: Tensor) -> list[Tensor]:
        """RGB [B,3,H,W] in [0,1], not resized -> feature maps that the distortion compares."""

    def predict(self, picture: Pixels) -> PredictionT:
        """Result for one picture, uint8 [H,W,3]."""

    def metric(self, predictions: Mapping[int, PredictionT], truth: TruthT) -> dict[str, float]:
        """Task metrics of the predictions (by picture id), over just these pictures."""


# name: module and function that loads it from `path` (None: where `weights.locate` looks)
NETWORKS = {
    "yolox-nano": "icmhcodec.tasks.yolox:load_yolox",
}

# the network that stands for a task where none is named
DEFAULT_NETWORKS = {
    "det": "yolox-nano",
}


def load_network(name: str, path: str | Path | None = None) -> RecognitionNetwork[Any, Any]:
    """Network of this name, or of this task, in evaluation mode on the CPU.

    Raises UsageError for a name that is not registered, MissingWeightsError where its file is not
    to be had.
    """
    entry = NETWORKS.get(DEFAULT_NETWORKS.get(name, name))
    if entry is None:
        known = ", ".join([*DEFAULT_NETWORKS, *NETWORKS])
        raise UsageError(f"no recognition network {name!r}; known: {known}")
    module, function = entry.split(":")
    loader = getattr(importlib.import_module(module), function)
    return cast("RecognitionNetwork[Any, Any]", loader(path))
