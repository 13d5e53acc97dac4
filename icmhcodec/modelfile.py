"""Weights on disk: one safetensors file with metadata, and the fingerprint of what it decides.

Torch is loaded only where tensors are made: a file's summary needs none.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from safetensors import SafetensorError, safe_open

from icmhcodec.errors import FormatError, MissingWeightsError

if TYPE_CHECKING:
    from torch import Tensor

FINGERPRINT_BYTES = 8
MOST_HEADER = 10**8  # bytes; safetensors' own bound
# Types by their names in a safetensors file and in torch.
_TYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip


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
    from torch import uint8

    own = ((name, tensors[name].detach().cpu().contiguous()) for name in sorted(tensors))
    return _digest(
        (name, str(t.dtype), t.shape, t.reshape(-1).view(uint8).numpy().tobytes())
        for name, t in own
    )


def _digest(tensors: Iterable[tuple[str, str, Sequence[int], bytes | memoryview]]) -> bytes:
    digest = hashlib.sha256()
    for name, kind, shape, values in tensors:
        digest.update(f"{name} {kind} {tuple(shape)}\n".encode())
        digest.update(values)
    return digest.digest()[:FINGERPRINT_BYTES]


def summary(path: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """A model file's metadata and the names of its tensors; FormatError for a broken one."""
    header, _ = _header(path)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise FormatError(f"{path}: not a readable safetensors file (metadata)")
    return metadata, tuple(sorted(header))


def fingerprint_of(path: Path) -> bytes:
    """The fingerprint of a model file's tensors; FormatError for a broken one."""
    header, start = _header(path)
    header.pop("__metadata__", None)
    try:
        values = memoryview(path.read_bytes())[start:]
        return _digest(
            (name, f"torch.{_TYPES[entry['dtype']]}", entry["shape"], values[first:last])
            for name, entry in sorted(header.items())
            for first, last in [entry["data_offsets"]]
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: not a readable safetensors file ({error})") from error


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its values start."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size) if size <= MOST_HEADER else b"")
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not a readable safetensors file ({error})") from error
    if not isinstance(header, dict):
        raise FormatError(f"{path}: not a readable safetensors file (header)")
    return header, 8 + size


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
    from safetensors.torch import save

    # A name of its own: other processes may be writing the same file.
    temporary = path.with_name(f".icmh-{secrets.token_hex(8)}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    data = save({k: v.contiguous() for k, v in model.tensors.items()}, model.metadata)
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
