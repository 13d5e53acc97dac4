"""Programs on the PATH that code pictures through files."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from icmhcodec.errors import IcmhError, UsageError

SECONDS = 600  # for one picture


def find(codec: str, names: tuple[str, ...], advice: str) -> str:
    """Path of the first of these programs that is on the PATH; UsageError where none is."""
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    raise UsageError(f"{codec}: {' or '.join(names)} is not on the PATH; {advice}")


def run(*command: str) -> str:
    """What a program prints; IcmhError where it fails."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise IcmhError(f"{name}: does not run: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise IcmhError(f"{name}: failed with status {done.returncode}: {lines[-1].strip()}")
    return done.stdout


def output(path: Path, program: str) -> bytes:
    """The file that a program was to write; IcmhError where it is absent or empty."""
    data = path.read_bytes() if path.exists() else b""
    if not data:
        raise IcmhError(f"{Path(program).name}: wrote no {path.name}")
    return data


def fingerprint(path: str) -> str:
    """Name of a program and the first 16 hex digits of its SHA-256: versions say less."""
    return f"{Path(path).name} {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]}"
