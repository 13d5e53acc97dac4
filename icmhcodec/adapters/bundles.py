"""Where trained predictors and adapters lie, and how they are found, added and removed.

A task's bundle is a pair of files on one base codec: `predictor` decides which symbols its layer
holds (a decoder cannot do without), `adapter` only changes the decoded picture.
Packaged ones lie in icmhcodec/weights, a user's own under their fingerprint in the data folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from operator import itemgetter
from pathlib import Path

from safetensors import SafetensorError, safe_open

from icmhcodec import modelfile
from icmhcodec.container import Reference, valid_name
from icmhcodec.errors import FormatError, MissingWeightsError, UsageError
from icmhcodec.modelfile import ModelFile, user_folder

KINDS = ("predictor", "adapter")
REQUIRED = ("id", "kind", "base", "base_fingerprint", "task")
PACKAGED = Path(__file__).parent.parent / "weights"


def read(path: Path) -> tuple[ModelFile, Reference]:
    """A predictor or adapter file and its id with fingerprint; FormatError if it is neither."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise MissingWeightsError(f"{path}: no such weights file") from error
    return _read(path, changed)


@lru_cache(maxsize=16)
def _read(path: Path, changed: int) -> tuple[ModelFile, Reference]:
    del changed  # another time is another file
    model = modelfile.read(path)
    if model.kind not in KINDS:
        raise FormatError(f"{path}: holds a {model.kind}, not a predictor or adapter")
    for key in REQUIRED:
        if key not in model.metadata:
            raise FormatError(f"{path}: its metadata does not name '{key}'")
    for key in ("id", "base", "task"):
        if not valid_name(model.metadata[key]):
            raise FormatError(f"{path}: its {key} {model.metadata[key]!r} is not a valid name")
    return model, Reference(model.id, modelfile.fingerprint(model.tensors))


def available(kind: str | None = None) -> Iterator[tuple[Path, dict[str, str]]]:
    """Paths and metadata of all bundles here, packaged ones first; unreadable files are passed."""
    for folder in (PACKAGED, user_folder()):
        for path in sorted(folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as file:
                    metadata = dict(file.metadata() or {})
            except (SafetensorError, OSError):
                continue
            usable = metadata.keys() >= set(REQUIRED) and metadata["kind"] in KINDS
            if usable and kind in (None, metadata["kind"]):
                yield path, metadata


def find(kind: str, name: str, base: Reference, profile: str) -> tuple[ModelFile, Reference] | None:
    """The file of a bundle ("det-1"), or of a task's newest ("det"), for a base codec; or None."""
    found = [
        (version(metadata["id"]), path)
        for path, metadata in available(kind)
        if name in (metadata["task"], metadata["id"])
        and metadata["base_fingerprint"] == base.fingerprint.hex()
        and metadata.get("profile", "scalable") == profile
    ]
    # Of equal versions the last one counts: a user's own file replaces a packaged one.
    return read(max(reversed(found), key=itemgetter(0))[1]) if found else None


def version(name: str) -> int:
    """The number that an id ends in, 0 where it has none."""
    ending = name.rpartition("-")[2]
    return int(ending) if ending.isdecimal() and valid_name(name) else 0


def by_reference(kind: str, reference: Reference) -> ModelFile:
    """The file that a header names; MissingWeightsError if no file here has its fingerprint."""
    same_name = []
    for path, metadata in available(kind):
        if metadata["id"] != reference.id:
            continue
        model, found = read(path)
        if found == reference:
            return model
        same_name.append(found.fingerprint.hex())
    here = f" (here: {', '.join(same_name)})" if same_name else ""
    raise MissingWeightsError(
        f"{kind} {reference.id} with fingerprint {reference.fingerprint.hex()} is not here{here}; "
        "add its file with 'icmh models add FILE'"
    )


def add(path: Path) -> Reference:
    """Copy a bundle file to the user's folder, named by its fingerprint."""
    model, reference = read(path)
    modelfile.write(
        user_folder() / f"{model.kind}-{reference.fingerprint.hex()}.safetensors", model
    )
    return reference


def remove(name: str) -> list[Path]:
    """Remove the user's files of that id or fingerprint; packaged ones stay."""
    removed = []
    for path, metadata in list(available()):
        if path.parent != PACKAGED and name in (metadata["id"], path.stem.split("-")[-1]):
            path.unlink()
            removed.append(path)
    if not removed:
        raise UsageError(
            f"{name}: no model of that name was added; packaged ones cannot be removed"
        )
    return removed
