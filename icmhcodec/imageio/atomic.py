"""Files that are read and written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from icmhcodec.errors import ExistsError, IcmhError, UsageError


def atomic_write(path: str | os.PathLike[str], data: bytes, *, force: bool = False) -> None:
    """Write `data` to a file that gets its name when it is whole; permissions by the umask.

    Of several processes that write one file without `force` one alone succeeds. A link is followed;
    a device or pipe is written to as it is.

    Raises:
        ExistsError: the file exists and `force` is not set.
        UsageError: it is a folder, or its folder does not exist.
        IcmhError: the system refuses to write; nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    # A pipe of the shell's has no other name than the link to it.
    device = Path(path).exists() and not Path(path).is_file()
    if not device and not target.parent.is_dir():
        raise UsageError(f"{path}: the folder {target.parent} does not exist; make it first")
    try:
        if device:
            Path(path).write_bytes(data)
        else:
            _place(target, data, force)
    except FileExistsError:
        raise ExistsError(f"{path} exists; --force overwrites it") from None
    except OSError as error:
        raise IcmhError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_whole(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file; OSError where it cannot be read.

    Raises:
        IcmhError: it was written to meanwhile.
    """
    with Path(path).open("rb") as file:
        before = _state(file)
        data = file.read()
        if _state(file) != before:
            raise IcmhError(f"{path} changed while it was read; try again when it is complete")
    return data


def _state(file: BinaryIO) -> tuple[int, int] | None:
    """Size and time of the last change of a regular file."""
    found = os.fstat(file.fileno())
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _place(target: Path, data: bytes, force: bool) -> None:
    if target.exists() and not force:
        raise FileExistsError
    # Short whatever the target's name: a longer one than the system allows must not come of it.
    temporary = target.with_name(f".icmh-{secrets.token_hex(8)}.part")
    try:
        if force:
            _create(temporary, temporary, data)
            temporary.replace(target)
        else:
            _create(target, temporary, data)
    finally:  # an interrupt too must leave nothing behind
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _create(target: Path, temporary: Path, data: bytes) -> None:
    """Write a new file that has its name once it is whole; FileExistsError where there is one."""
    try:
        # Without a name it is gone with the process, however that ends.
        descriptor = os.open(target.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
        with open(descriptor, "wb") as file:  # noqa: PTH123 (it has no path)
            file.write(data)
            file.flush()
            # A folder's descriptor, though of no use, makes os.link follow the link.
            os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor)
    except FileExistsError:
        raise
    except OSError:  # not every file system has files without names
        _create_named(target, temporary, data)


def _create_named(target: Path, temporary: Path, data: bytes) -> None:
    with temporary.open("xb") as file:
        file.write(data)
    if temporary == target:
        return
    try:
        os.link(temporary, target)
    except FileExistsError:  # another process was faster
        raise
    except OSError:  # nor has every one links
        if target.exists():
            raise FileExistsError from None
        temporary.replace(target)


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[Path]:
    """A path beside `path` for a file or folder, which gets its name when no error comes up.

    Raises:
        ExistsError: it exists, and is no empty folder, and `force` is not set.
        UsageError: its folder does not exist.
        IcmhError: the system refuses to write; nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise UsageError(f"{path}: the folder {target.parent} does not exist; make it first")
    if not force and (any(target.iterdir()) if target.is_dir() else target.exists()):
        raise ExistsError(f"{path} exists; --force overwrites it")
    temporary = target.with_name(f".icmh-{secrets.token_hex(8)}.part")
    try:
        yield temporary
        _rename(temporary, target, force)
    except FileExistsError:
        raise ExistsError(f"{path} exists; --force overwrites it") from None
    except BrokenPipeError:  # of another output, whose reader has gone
        raise
    except OSError as error:
        raise IcmhError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            _remove(temporary)


@contextmanager
def atomic_stream(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[BinaryIO]:
    """A stream to a file that gets its name when no error comes up; see `atomic_path`.

    A device or pipe is written to as it is; a folder is a UsageError.
    """
    if Path(path).is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    if Path(path).exists() and not Path(path).is_file():
        with Path(path).open("wb") as stream:
            yield stream
        return
    with atomic_path(path, force=force) as temporary, temporary.open("xb") as stream:
        yield stream


def _rename(temporary: Path, target: Path, force: bool) -> None:
    if force and target.is_dir() and temporary.is_dir():
        before = target.with_name(f".icmh-{secrets.token_hex(8)}.old")
        target.rename(before)
        try:
            temporary.replace(target)
        except BaseException:
            before.rename(target)
            raise
        _remove(before)
        return
    if force or temporary.is_dir():
        temporary.replace(target)
        return
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # not every file system has links
        if target.exists():
            raise FileExistsError from None
        temporary.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
