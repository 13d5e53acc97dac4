"""Video codecs by name: those in the package and what the user added."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from icmhcodec import modelfile
from icmhcodec.codecs.registry import WEIGHTS
from icmhcodec.codecs.video.contract import KIND, VideoCodec, architecture
from icmhcodec.codecs.video.dvc import DVC
from icmhcodec.codecs.video.fvc import FVC
from icmhcodec.container import Reference, valid_name
from icmhcodec.errors import FormatError, MissingWeightsError, UsageError
from icmhcodec.modelfile import ModelFile

ARCHITECTURES: dict[str, Callable[[ModelFile, torch.device, torch.dtype], VideoCodec]] = {
    "dvc": DVC,
    "fvc": FVC,
}


def build(
    model: ModelFile, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VideoCodec:
    """The codec that a file holds; FormatError where it holds none."""
    name = architecture(model)
    if name not in ARCHITECTURES:
        raise FormatError(f"{model.id}: a video codec of an unknown kind, {name}")
    return ARCHITECTURES[name](model, torch.device(device), dtype)


def available() -> Iterator[tuple[Path, dict[str, str]]]:
    """Files and metadata of all codecs here, packaged ones first; unreadable files are passed."""
    for folder in (WEIGHTS, modelfile.user_folder()):
        for path in sorted(folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as file:
                    metadata = dict(file.metadata() or {})
            except (SafetensorError, OSError):
                continue
            if metadata.get("kind") == KIND and valid_name(metadata.get("id", "")):
                yield path, metadata


def resolve(name: str) -> Path:
    """The file of a codec ("dvc-1"), or of the newest of an architecture ("dvc").

    MissingWeightsError where there is none.
    """
    found = list(available())
    chosen = [path for path, metadata in found if metadata["id"] == name]
    newest = [
        (_version(metadata["id"]), place, path)
        for place, (path, metadata) in enumerate(found)
        if metadata.get("architecture") == name
    ]
    if not chosen and not newest:
        known = ", ".join(metadata["id"] for _, metadata in found) or "none"
        raise MissingWeightsError(
            f"video codec {name} is not here (here: {known}); train one with 'icmh train video', "
            "or add its file with 'icmh models add FILE'"
        )
    return chosen[-1] if chosen else max(newest)[2]


def _version(codec_id: str) -> int:
    ending = codec_id.rpartition("-")[2]
    return int(ending) if ending.isdecimal() else 0


def load(
    name: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VideoCodec:
    """A codec by id or architecture; MissingWeightsError where its weights are not here."""
    return build(modelfile.read(resolve(name)), device, dtype)


def load_reference(
    reference: Reference,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> VideoCodec:
    """The codec that a file names, with the very weights that it was coded with.

    MissingWeightsError where no codec here has its fingerprint: other weights decode to noise.
    """
    wanted = reference.fingerprint.hex()
    for path, metadata in available():
        if metadata.get("fingerprint") == wanted:
            codec = build(modelfile.read(path), device, dtype)
            if codec.fingerprint == reference.fingerprint:
                return codec
    raise MissingWeightsError(
        f"the file needs video codec {reference.id} with fingerprint {wanted}, which is not here; "
        "add its file with 'icmh models add FILE'"
    )


def add(path: Path) -> Reference:
    """Copy a video codec's file to the user's folder, named by its fingerprint.

    FormatError if it holds none, UsageError if its id is another codec's.
    """
    model = modelfile.read(path)
    codec = build(model)  # it loads
    if not valid_name(model.id) or model.id in ARCHITECTURES:
        raise FormatError(f"{path}: {model.id!r} is no id for a video codec; export it again")
    digits = codec.fingerprint.hex()
    target = modelfile.user_folder() / f"{KIND}-{digits}.safetensors"
    same = [there for there, metadata in available() if metadata["id"] == model.id]
    if any(there != target for there in same):
        raise UsageError(
            f"{model.id}: a codec of that id is here; export it under another, or remove that one"
        )
    modelfile.write(target, ModelFile({**model.metadata, "fingerprint": digits}, model.tensors))
    return Reference(codec.id, codec.fingerprint)


def remove(name: str) -> list[Path]:
    """Remove the user's video codecs of that id or fingerprint; none where there are none."""
    chosen = [
        path
        for path, metadata in available()
        if path.parent != WEIGHTS and name in (metadata["id"], path.stem.rpartition("-")[2])
    ]
    for path in chosen:
        path.unlink()
    return chosen
