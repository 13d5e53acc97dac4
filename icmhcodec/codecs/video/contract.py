"""What every codec of P frames offers to the pipeline and the training.

A P frame is two latents: motion, by which the decoded frame before it (the reference) becomes a
prediction, and residual, what the prediction misses. Each latent has an exact entropy stage like a
picture's: its symbols follow from its own hyper-latent and from integers, never from a decoded
frame. What a prediction is (a frame, features) is the codec's own affair.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.codecs import prior
from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.errors import FormatError
from icmhcodec.modelfile import ModelFile

KIND = "video"
LATENTS = ("motion", "residual")


def fingerprint(tensors: Mapping[str, Tensor]) -> bytes:
    """First 8 bytes of SHA-256 over all tensors that decide decoding: all but the float priors."""
    floats = tuple(f"{latent}.{prior.PREFIX}" for latent in LATENTS)
    return modelfile.fingerprint({k: v for k, v in tensors.items() if not k.startswith(floats)})


def latent_file(model: ModelFile, latent: str) -> ModelFile:
    """What a file says of one latent, as a codec of its own."""
    prefix = f"{latent}."
    tensors = {k.removeprefix(prefix): v for k, v in model.tensors.items() if k.startswith(prefix)}
    skip = model.metadata.get(f"{latent}_skip", "0")
    return ModelFile({"id": model.id, "kind": model.kind, "default_skip": skip}, tensors)


class VideoCodec(ABC):
    """A frozen codec of P frames; frames are [B,3,H,W] in [0,1], their sides multiples of 64.

    `motion` and `residual` are the codecs of the latents: their entropy stages, gains and skip
    indexes. Latents are [B,M,H/16,W/16], without gain.
    """

    motion: Hyperprior
    residual: Hyperprior

    def __init__(self, model: ModelFile, device: str | torch.device, dtype: torch.dtype) -> None:
        """Take a file's name; the networks are the codec's own."""
        self._model = model
        self.id = model.id
        self.fingerprint = fingerprint(model.tensors)
        self.device, self.dtype = torch.device(device), dtype

    def latent(self, name: str) -> Hyperprior:
        """The codec of "motion" or of "residual"."""
        return {"motion": self.motion, "residual": self.residual}[name]

    @abstractmethod
    def motion_latent(self, current: Tensor, reference: Tensor) -> Tensor:
        """The latent of the motion from the reference to the current frame."""

    @abstractmethod
    def prediction(self, motion: Tensor, reference: Tensor) -> Tensor:
        """What a decoded motion latent makes of the reference."""

    @abstractmethod
    def residual_latent(self, current: Tensor, prediction: Tensor) -> Tensor:
        """The latent of what a prediction misses of the current frame."""

    @abstractmethod
    def reconstruct(self, residual: Tensor, prediction: Tensor) -> Tensor:
        """The frame, not clamped, of a decoded residual latent and a prediction."""

    def to(self, device: str | torch.device, dtype: torch.dtype) -> VideoCodec:
        """The same codec elsewhere, from the stored weights, in float32 or bfloat16."""
        return type(self)(self._model, device, dtype)


def check_gains(codec: VideoCodec) -> None:
    """Refuse latents of other qualities than each other."""
    if codec.motion.levels != codec.residual.levels:
        raise FormatError(f"{codec.id}: motion and residual have other numbers of gains")


def architecture(model: ModelFile) -> str:
    """Name of the codec that a file is for; FormatError where it holds no video codec."""
    name = model.metadata.get("architecture", "")
    if model.kind != KIND or not re.fullmatch("[a-z0-9]+", name):
        raise FormatError(f"{model.id}: holds a {model.kind}, not a video codec")
    return name
