"""Base codecs by name: those in the package, and CompressAI's zoo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from icmhcodec import modelfile
from icmhcodec.codecs import zoo
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.container import Reference
from icmhcodec.errors import MissingWeightsError

WEIGHTS = Path(__file__).parent.parent / "weights"
PACKAGED = ("mbt2018-mean-gain-0", "test-tiny")
ALIASES = {"mbt2018-mean-gain": "mbt2018-mean-gain-0"}  # what new files are coded with


def names() -> tuple[str, ...]:
    """Ids of all codecs that can be loaded, or downloaded and loaded."""
    return (*PACKAGED, *zoo.CHECKPOINTS)


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
        return Hyperprior(zoo.fetch(codec_id), device, dtype)
    return Hyperprior(modelfile.read(WEIGHTS / f"{codec_id}.safetensors"), device, dtype)


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
    """Ids and files of the codecs that are here: the package's, then those in the cache."""
    for codec_id in names():
        packaged = codec_id in PACKAGED
        path = WEIGHTS / f"{codec_id}.safetensors" if packaged else zoo.converted_path(codec_id)
        if path.exists():
            yield codec_id, path
