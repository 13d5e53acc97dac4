"""Base codecs by name: those in the package, CompressAI's zoo, and what the user added."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from icmhcodec import modelfile
from icmhcodec.codecs import weights, zoo
from icmhcodec.codecs.architectures import build
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.container import Reference, valid_name
from icmhcodec.errors import FormatError, MissingWeightsError, UsageError

WEIGHTS = Path(__file__).parent.parent / "weights"
PACKAGED = (
    "mbt2018-mean-gain-1",
    "mbt2018-mean-gain-2",
    "mbt2018-mean-gain-3",
    "mbt2018-mean-gain-0",
    "test-tiny",
)
ALIASES = {"mbt2018-mean-gain": "mbt2018-mean-gain-1"}  # what new files are coded with


def names() -> tuple[str, ...]:
    """Ids of all codecs that can be loaded, or downloaded and loaded."""
    return tuple(dict.fromkeys((*PACKAGED, *zoo.CHECKPOINTS, *_added())))


def resolve(name: str) -> str:
    """The id that a name or alias stands for; MissingWeightsError for an unknown one."""
    codec_id = ALIASES.get(name, name)
    if codec_id not in names():
        raise MissingWeightsError(
            f"codec {name} is not known here; known are {', '.join((*ALIASES, *names()))}"
        )
    return codec_id


def load(
    name: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> BaseCodec:
    """A codec by name or alias, its transforms in float32 or bfloat16 on a device.

    MissingWeightsError where its weights are not here and cannot be downloaded.
    """
    codec_id = resolve(name)
    if codec_id in zoo.CHECKPOINTS:
        return build(zoo.fetch(codec_id), device, dtype)
    return build(modelfile.read(_path(codec_id)), device, dtype)


def identify(fingerprint: bytes) -> str | None:
    """The id of the codec here (packaged, or converted in the cache) with that fingerprint."""
    for codec_id, path in available():
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
        except (SafetensorError, OSError):
            continue
        if metadata.get("fingerprint") == fingerprint.hex():
            return codec_id
    return None


def load_reference(
    reference: Reference,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> BaseCodec:
    """The codec that a file names, with the very weights that it was coded with.

    MissingWeightsError where no codec here has its fingerprint: other weights decode to noise.
    """
    codec = load(identify(reference.fingerprint) or reference.id, device, dtype)
    if codec.fingerprint != reference.fingerprint:
        raise MissingWeightsError(
            f"the file needs codec {reference.id} with fingerprint {reference.fingerprint.hex()}, "
            f"here it has {codec.fingerprint.hex()}; install the version of icmh that coded it"
        )
    return codec


def available() -> Iterator[tuple[str, Path]]:
    """Ids and files of the codecs that are here: packaged, downloaded, then added ones."""
    for codec_id in names():
        if (path := _path(codec_id)).exists():
            yield codec_id, path


def _path(codec_id: str) -> Path:
    if codec_id in zoo.CHECKPOINTS:
        return zoo.converted_path(codec_id)
    added = {} if codec_id in PACKAGED else _added()
    return added.get(codec_id, WEIGHTS / f"{codec_id}.safetensors")


def _added() -> dict[str, Path]:
    """Files of the user's own codecs by id; unreadable ones are passed."""
    found = {}
    for path in sorted(modelfile.user_folder().glob(f"{weights.KIND}-*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
        except (SafetensorError, OSError):
            continue
        if metadata.get("kind") == weights.KIND and "id" in metadata:
            found[metadata["id"]] = path
    return found


def add(path: Path) -> Reference:
    """Copy a base codec's file to the user's folder, named by its fingerprint.

    A checkpoint of CompressAI's zoo is converted and kept where downloaded ones are.
    FormatError if it holds none, UsageError if its id is another codec's.
    """
    if path.name.endswith(zoo.SUFFIX):
        added = load(zoo.add(path))
        return Reference(added.id, added.fingerprint)
    model = modelfile.read(path)
    if model.kind != weights.KIND or not valid_name(model.id):
        raise FormatError(f"{path}: holds no base codec with a valid id")
    codec = build(model)  # it loads
    folder, fingerprint = modelfile.user_folder(), codec.fingerprint.hex()
    target = folder / f"{weights.KIND}-{fingerprint}.safetensors"
    if model.id in (*ALIASES, *names()) and _added().get(model.id) != target:
        raise UsageError(
            f"{model.id}: a codec of that id is here; export it under another, or remove that one"
        )
    modelfile.write(target, model)
    return Reference(codec.id, codec.fingerprint)


def remove(name: str) -> list[Path]:
    """Remove the user's codecs of that id or fingerprint, or a converted checkpoint by its id."""
    chosen = [
        path
        for codec_id, path in _added().items()
        if name in (codec_id, path.stem.rpartition("-")[2])
    ]
    if name in zoo.CHECKPOINTS and zoo.converted_path(name).exists():
        chosen.append(zoo.converted_path(name))
    for path in chosen:
        path.unlink()
    return chosen
