"""The kinds of base codecs, one line each, by their name in the metadata of weights files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from icmhcodec.codecs import cheng2020, hyperprior
from icmhcodec.codecs.cheng2020 import Cheng2020
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.entropy.integers import Activation, FloatLayer
from icmhcodec.errors import FormatError
from icmhcodec.modelfile import ModelFile


@dataclass(frozen=True)
class Architecture:
    """The codec of a weights file, and the float layers that its integers are made from.

    `layers` takes tensors under CompressAI's names and gives what leads from the hyper-latent to
    scales, then means if there are any.
    """

    codec: Callable[[ModelFile, str | torch.device, torch.dtype], BaseCodec]
    layers: Callable[[Mapping[str, Tensor]], list[FloatLayer]]
    means: bool = True


_RELU = partial(hyperprior.hyper_synthesis, activation=Activation.RELU)

ARCHITECTURES = {
    "mean-scale": Architecture(Hyperprior, hyperprior.hyper_synthesis),
    "scale": Architecture(Hyperprior, _RELU, means=False),
    "cheng2020-anchor": Architecture(Cheng2020, cheng2020.hyper_synthesis),
}


def build(
    model: ModelFile,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> BaseCodec:
    """The base codec of a weights file; FormatError where it holds none that is known here."""
    name = model.metadata.get("architecture", "mean-scale")
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise FormatError(f"{model.id}: architecture {name!r} is not known here; known are {known}")
    return ARCHITECTURES[name].codec(model, device, dtype)
