"""CompressAI's published checkpoints: downloaded, checked, converted once, kept in a cache.

A checkpoint's name carries the first eight hexadecimal digits of its SHA-256, as in CompressAI's
own zoo (compressai/zoo/image.py, trained for mean squared error).
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import platformdirs
import torch
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.codecs.export import build_base
from icmhcodec.errors import FormatError, MissingWeightsError
from icmhcodec.modelfile import ModelFile

ROOT_URL = "https://compressai.s3.amazonaws.com/models/v1"
_TIMEOUT = 30  # seconds without a byte

_HASHES = {
    "mbt2018-mean": (
        "e522738d", "e54a039d", "723404a8", "6dba02a3",
        "d504e8eb", "a19628ab", "d5d441d1", "8089ae3e",
    ),
    "bmshj2018-hyperprior": (
        "7eb97409", "93677231", "6d87be32", "de1b779c",
        "f8b614e1", "1ab9c41e", "3804dcbd", "a583f0cf",
    ),
    "cheng2020-anchor": (
        "dad2ebff", "a29008eb", "e49be189", "98b0b468", "23852949", "4c052b1a",
    ),
}  # fmt: skip
_ARCHITECTURES = {
    "mbt2018-mean": "mean-scale",
    "bmshj2018-hyperprior": "scale",
    "cheng2020-anchor": "cheng2020-anchor",
}

# lambda of each quality, from CompressAI's documentation of its models trained for MSE
_LAMBDAS = (0.0018, 0.0035, 0.0067, 0.0130, 0.0250, 0.0483, 0.0932, 0.1800)

SUFFIX = ".pth.tar"
CHECKPOINTS = {
    f"{model}-q{quality}": f"{model}-{quality}-{digits}{SUFFIX}"
    for model, hashes in _HASHES.items()
    for quality, digits in enumerate(hashes, 1)
}


def cache_folder() -> Path:
    """Where converted checkpoints are kept: $ICMH_CACHE, or the platform's cache folder."""
    return Path(os.environ.get("ICMH_CACHE") or platformdirs.user_cache_path("icmh"))


def converted_path(codec_id: str) -> Path:
    """Where the converted weights of a zoo codec are, or will be."""
    return cache_folder() / f"{codec_id}.safetensors"


def fetch(codec_id: str) -> ModelFile:
    """The weights of a zoo codec, from the cache or else from the net.

    A checkpoint that was put into the cache folder by hand is taken without the net.
    MissingWeightsError where it cannot be had, FormatError where it is not what it should be.
    """
    converted = converted_path(codec_id)
    if not converted.exists():
        by_hand = cache_folder() / CHECKPOINTS[codec_id]
        _keep(codec_id, by_hand.read_bytes() if by_hand.exists() else _download(codec_id))
    return modelfile.read(converted)


def add(path: Path) -> str:
    """Convert a checkpoint that was downloaded by hand into the cache, and return its codec's id.

    FormatError where it is not one of the zoo's, by its name or its content.
    """
    ids = {name: codec_id for codec_id, name in CHECKPOINTS.items()}
    if path.name not in ids:
        raise FormatError(f"{path}: not a checkpoint's name; keep the one it is published under")
    _keep(ids[path.name], path.read_bytes())
    return ids[path.name]


def _keep(codec_id: str, data: bytes) -> None:
    state = read_checkpoint(data, CHECKPOINTS[codec_id])
    modelfile.write(converted_path(codec_id), convert(state, codec_id))


def read_checkpoint(data: bytes, name: str) -> dict[str, Tensor]:
    """Tensors of a checkpoint; FormatError where its SHA-256 does not begin as its name says."""
    expected = name.removesuffix(SUFFIX).rpartition("-")[2]
    digest = hashlib.sha256(data).hexdigest()
    if not digest.startswith(expected):
        raise FormatError(f"{name}: its SHA-256 begins with {digest[:8]}; get an unharmed copy")
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise FormatError(f"{name}: not a checkpoint of tensors; get an unharmed copy") from error
    return {current_name(key): value for key, value in state.items()}


def convert(state: Mapping[str, Tensor], codec_id: str) -> ModelFile:
    """A checkpoint's tensors as weights of this package, with the integer stage made from them."""
    model, _, quality = codec_id.rpartition("-q")
    description = {
        "version": "1",
        "recipe": f"CompressAI zoo, {model} quality {quality}",
        "data": "as published by CompressAI",
        "metric": "mse",
        "lambdas": str(_LAMBDAS[int(quality) - 1]),
        "licence": "BSD-3-Clause-Clear",
    }
    return build_base(state, codec_id, _ARCHITECTURES[model], description)


def _download(codec_id: str) -> bytes:
    name = CHECKPOINTS[codec_id]
    url = f"{ROOT_URL}/{name}"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            data: bytes = response.read()
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it is the response, too
        raise MissingWeightsError(
            f"{codec_id}: {url} cannot be downloaded ({error}); "
            f"get {name} elsewhere and put it into {cache_folder()}"
        ) from error
    return data


def current_name(key: str) -> str:
    """A tensor's name as CompressAI writes it since 1.1, from any of its older names."""
    key = key.removeprefix("module.").replace(".downsample.", ".skip.")
    return re.sub(r"\.(?:_?)(matri|bias|factor)(?:ces|es|s)\.(\d)$", _parameter_name, key)


def _parameter_name(match: re.Match[str]) -> str:
    stem = {"matri": "matrix"}.get(match[1], match[1])
    return f"._{stem}{match[2]}"
