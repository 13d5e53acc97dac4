"""Results that are already known, by what decides them, in a file that processes can share."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import platformdirs

from icmhcodec.errors import IcmhError

SCHEMA = 1  # to be raised when a measurement changes its meaning
FILE = "results.sqlite"
# Of damaged text Python cannot even make SQLite's message.
_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
# SQLite has no class of its own for these; damage has many words, from "malformed" to "readonly".
_OF_THE_SYSTEM = ("locked", "unable to open", "is full")
_PART = 1 << 20  # bytes read at once
_WAIT_S = 60.0  # for another process that is writing


def default_folder() -> Path:
    """Where results are kept: `bench` in $ICMH_CACHE or in the platform's cache folder."""
    return Path(os.environ.get("ICMH_CACHE") or platformdirs.user_cache_path("icmh")) / "bench"


def key(settings: Mapping[str, Any]) -> str:
    """SHA-256 over settings that JSON can hold, whatever their order."""
    text = json.dumps({"schema": SCHEMA, **settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digest(path: Path) -> str:
    """SHA-256 over the bytes of a file, or over names and bytes of the files in a folder."""
    found = hashlib.sha256()
    if path.is_dir():
        for file in sorted(path.iterdir()):
            found.update(f"{file.name} {digest(file)} ".encode())
        return found.hexdigest()
    with path.open("rb") as stream:
        while part := stream.read(_PART):
            found.update(part)
    return found.hexdigest()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


class Cache:
    """Texts by key, in an SQLite file of a folder.

    What was put is kept, whatever then ends the process. A damaged file is put aside and a new one
    begun. Errors: IcmhError where the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        except _ERRORS as error:
            self._begin_anew(error)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def get(self, name: str) -> str | None:
        """The text of a key, None where it is not known or cannot be read."""
        try:
            row = self._database.execute("SELECT value FROM results WHERE key = ?", (name,))
            found = row.fetchone()
        except _ERRORS as error:
            self._begin_anew(error)
            return None
        return str(found[0]) if found else None

    def put(self, name: str, text: str) -> None:
        """Keep the text of a key."""
        try:
            self._put(name, text)
        except _ERRORS as error:
            self._begin_anew(error)
            try:
                self._put(name, text)
            except _ERRORS as again:
                raise self._unusable(str(again)) from again

    def _put(self, name: str, text: str) -> None:
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (name, text))

    def _open(self) -> None:
        self._database = sqlite3.connect(self._path, timeout=_WAIT_S)
        self._database.text_factory = lambda data: data.decode(errors="replace")
        # Readers and a writer side by side; a killed process loses nothing.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS results (key PRIMARY KEY, value)")

    def _begin_anew(self, error: Exception) -> None:
        """Put a damaged file aside, unless the error is the system's."""
        refused = self._path.exists() and not os.access(self._path, os.W_OK)
        if refused or any(words in str(error) for words in _OF_THE_SYSTEM):
            raise self._unusable(str(error)) from error
        self._database.close()
        try:
            for end in ("", "-wal", "-shm"):
                path = self._path.with_name(FILE + end)
                if path.exists():
                    path.replace(path.with_name(f"{path.name}.damaged"))
            self._open()
        except (OSError, *_ERRORS) as again:
            raise self._unusable(str(again)) from again

    def _unusable(self, reason: str) -> IcmhError:
        return IcmhError(
            f"{self._path}: results cannot be kept: {reason}; --cache names another folder,"
            " --no-cache keeps none"
        )
