"""Weights on disk: one safetensors file with metadata, and the fingerprint of what it decides."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from icmhcodec.errors import FormatError, MissingWeightsError

FINGERPRINT_BYTES = 8


def user_folder() -> Path:
    """The folder of the user's own models; the environment variable ICMH_DATA moves it."""
    data = os.environ.get("ICMH_DATA") or platformdirs.user_data_dir("icmh")
    return Path(data) / "models"


@dataclass(frozen=True)
class ModelFile:
    """Tensors by name, and the metadata (id, kind, base, task, recipe, data, steps, licence)."""

    metadata: dict[str, str]
    tensors: dict[str, Tensor]

    @property
    def id(self) -> str:
        """The model's name, version included."""
        return self.metadata["id"]

    @property
    def kind(self) -> str:
        """What the file holds: "base", "predictor" or "adapter"."""
        return self.metadata["kind"]


def fingerprint(tensors: Mapping[str, Tensor]) -> bytes:
    """First 8 bytes of SHA-256 over names, types, shapes and values, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.digest()[:FINGERPRINT_BYTES]


def read(path: Path) -> ModelFile:
    """Load a model file; MissingWeightsError where there is none, FormatError for a broken one."""
    metadata, tensors = {}, {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            for name in file.keys():  # noqa: SIM118 (not a dict)
                tensors[name] = file.get_tensor(name)
    except FileNotFoundError as error:
        raise MissingWeightsError(f"{path}: no such weights file") from error
    except (SafetensorError, OSError) as error:
        raise FormatError(f"{path}: not a readable safetensors file ({error})") from error
    if "id" not in metadata or "kind" not in metadata:
        raise FormatError(f"{path}: names neither id nor kind; it is not a model file of icmh")
    return ModelFile(metadata, tensors)


def write(path: Path, model: ModelFile) -> None:
    """Save a model file, whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    data = save({k: v.contiguous() for k, v in model.tensors.items()}, model.metadata)
    temporary.write_bytes(data)
    temporary.replace(path)
