"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from icmhcodec.errors import IcmhError, UsageError


def atomic_write(path: str | os.PathLike[str], data: bytes, *, force: bool = False) -> None:
    """Write `data` to a temporary name beside `path`, then rename it; permissions by the umask.

    A link is followed; a device or pipe is written to as it is.

    Raises:
        UsageError: the file exists and `force` is not set, or its folder does not exist.
        IcmhError: the system refuses to write; nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    if not target.parent.is_dir():
        raise UsageError(f"{path}: the folder {target.parent} does not exist; make it first")
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            _replace(target, data, force)
    except FileExistsError:
        raise UsageError(f"{path} exists; --force overwrites it") from None
    except OSError as error:
        raise IcmhError(f"{path}: cannot be written: {error.strerror or error}") from error


def _replace(target: Path, data: bytes, force: bool) -> None:
    if target.exists() and not force:
        raise FileExistsError
    # Short whatever the target's name: a longer one than the system allows must not come of it.
    temporary = target.with_name(f".icmh-{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        if target.exists() and not force:  # another process was faster
            raise FileExistsError
        temporary.replace(target)
    except BaseException:  # an interrupt too must leave nothing behind
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
