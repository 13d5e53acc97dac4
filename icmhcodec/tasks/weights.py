"""Published network files: found on this machine or downloaded once, always checked by SHA-256."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import platformdirs

from icmhcodec.errors import MissingWeightsError

TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class NetworkFile:
    """A published file: folder among the networks, name, address, SHA-256 (hex), size in bytes."""

    folder: str
    name: str
    url: str
    sha256: str
    size: int


def cache_folder() -> Path:
    """Folder of the downloaded networks in the user's cache."""
    return Path(platformdirs.user_cache_dir("icmh")) / "nets"


def locate(file: NetworkFile, path: str | Path | None = None, *, download: bool = True) -> Path:
    """Path of a checked network file.

    Looks at `path` (the file, or a folder that holds it) and nowhere else if given; then in the
    folder of the environment variable ICMH_NETS, in the user's cache and in `../shared/nets`
    beside a source checkout; and at last downloads it into the cache. Raises MissingWeightsError
    where it cannot be had, or is another file than the published one.
    """
    for folder in [Path(path)] if path is not None else _folders(file):
        candidate = folder if folder.is_file() else folder / file.name
        if candidate.is_file():
            return _checked(candidate, file)
    if path is None and download:
        return _download(file)
    wanted = Path(path) if path is not None else cache_folder() / file.folder
    raise MissingWeightsError(
        f"{file.name} is not in {wanted}; put it there, or name its folder in ICMH_NETS"
        f" (published at {file.url})"
    )


def _folders(file: NetworkFile) -> list[Path]:
    roots = [cache_folder(), Path(__file__).resolve().parents[3] / "shared" / "nets"]
    if named := os.environ.get("ICMH_NETS"):
        roots.insert(0, Path(named))
    return [folder for root in roots for folder in (root / file.folder, root)]


def _checked(path: Path, file: NetworkFile) -> Path:
    if not _is_published(path, file):
        raise MissingWeightsError(
            f"{path} is not the published file (its SHA-256 differs); replace it by {file.url}"
        )
    return path


def _is_published(path: Path, file: NetworkFile) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


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
        raise MissingWeightsError(
            f"{file.name} is not in {folder} and could not be downloaded ({error});"
            f" put {file.url} there, or name its folder in ICMH_NETS"
        ) from error
