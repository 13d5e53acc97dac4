"""Inputs and outputs: which files are meant, where results go, and that nothing is lost."""

from __future__ import annotations

import glob
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from icmhcodec.errors import ExistsError, FormatError, IcmhError, UsageError

STREAM = Path("-")
"""Stands for stdin as an input and for stdout as an output."""


def is_stream(source: Path) -> bool:
    """Whether a source can be read once only: stdin, or a pipe."""
    return source == STREAM or (source.exists() and not source.is_file() and not source.is_dir())


def is_stdout(target: Path) -> bool:
    """Whether an output is stdout, by any name but a file's."""
    if target == STREAM or not is_stream(target) or sys.stdout is None:
        return target == STREAM
    with suppress(OSError, ValueError):  # a stdout of no descriptor
        return os.path.samestat(target.stat(), os.fstat(sys.stdout.fileno()))
    return False


@dataclass(frozen=True)
class Job:
    """One input and where its result goes."""

    source: Path
    target: Path
    in_bulk: bool = False
    """Whether it is one of many, of which those whose result is there are left out."""


def plan(
    inputs: Sequence[Path],
    suffixes: Sequence[str],
    output: str | None,
    suffix: str | Callable[[Path], str],
    infix: str = "",
    *,
    whole_folders: bool = False,
) -> list[Job]:
    """Say where each result goes: beside its input, into the folder or to the file `output`.

    A result is named as its input, with `infix` and `suffix` at the end, which may depend on the
    input. A folder is meant where `output` is one or ends with a slash, and where an input is a
    folder or a glob. With `whole_folders` a folder is one input.
    """
    sources = list(dict.fromkeys(inputs)) if whole_folders else expand(inputs, suffixes)
    bulk = not whole_folders and any(given.is_dir() or _is_glob(given) for given in inputs)
    several = len(sources) > 1 or bulk
    folder = _folder(output, several, sources)
    jobs = []
    for source in sources:
        if source == STREAM:
            stem = "stdin"
        else:
            stem = source.resolve().name if source.is_dir() else source.stem.removesuffix(infix)
        ending = infix + (suffix if isinstance(suffix, str) else suffix(source))
        if output is None:
            beside = source.resolve() if source.is_dir() else source
            target = STREAM if source == STREAM else beside.with_name(stem + ending)
        else:
            target = folder / (stem + ending) if folder else Path(output)
        jobs.append(Job(source, target, in_bulk=several))
    _refuse_clashes(jobs)
    return jobs


def expand(inputs: Iterable[Path], suffixes: Sequence[str]) -> list[Path]:
    """Name the files meant: files as they are, folders' files with one of `suffixes`, globs."""
    found = [path for given in inputs for path in _expand_one(given, suffixes)]
    return list(dict.fromkeys(found))


def _expand_one(given: Path, suffixes: Sequence[str]) -> list[Path]:
    if given.is_dir():
        named = (path for path in given.iterdir() if path.suffix.lower() in suffixes)
        files = sorted(p for p in named if not p.is_dir() and not p.name.startswith("."))
        if not files:
            raise UsageError(f"{given}: the folder has no {', '.join(suffixes)} file")
        return files
    if _is_glob(given):
        names = glob.glob(str(given), recursive=True)  # noqa: PTH207 (Path knows no absolute globs)
        files = sorted(path for path in map(Path, names) if path.is_file())
        if not files:
            raise UsageError(f"{given}: no file matches")
        return files
    return [given]


def _is_glob(given: Path) -> bool:
    return glob.has_magic(str(given)) and not given.exists()


def _folder(output: str | None, several: bool, sources: Sequence[Path]) -> Path | None:
    if output is None:
        return None
    folder = Path(output)
    if several and not folder.is_dir() and not output.endswith(("/", os.sep)) and folder.suffix:
        raise UsageError(f"-o {output}: several inputs need a folder; write {output}{os.sep}")
    if several and (folder == STREAM or (folder.exists() and not folder.is_dir())):
        raise UsageError(f"-o {output}: several inputs need a folder")
    if not (several or folder.is_dir() or output.endswith(("/", os.sep))):
        return None
    if any(source == STREAM or source.exists() for source in sources):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _refuse_clashes(jobs: Iterable[Job]) -> None:
    sources: dict[Path, Path] = {}
    for job in jobs:
        other = sources.setdefault(job.target, job.source)
        if other != job.source:
            raise UsageError(
                f"{other} and {job.source} would both become {job.target}; "
                "name one alone, with -o FILE"
            )


def check_target(target: Path, sources: Iterable[Path], *, force: bool) -> None:
    """Refuse, before any work, a target that cannot or should not be written.

    Raises:
        ExistsError: it exists and `force` is not set.
        UsageError: it is a folder, lies in none, is an input, or exists and is older than an input.
    """
    if target == STREAM:
        _stdout()
        if sys.stdout.isatty():
            raise UsageError("binary data do not go to a terminal; use -o FILE or a pipe")
        return
    if target.is_dir():
        raise UsageError(f"{target} is a folder; name a file in it")
    if not target.parent.is_dir():
        raise UsageError(f"{target}: the folder {target.parent} does not exist; make it first")
    if not target.is_file():  # nor are devices overwritten
        return
    read = [source for source in sources if source.is_file()]
    if any(source.samefile(target) for source in read):
        raise UsageError(f"{target} is the input itself; name another output")
    if force:
        return
    made = target.stat().st_mtime_ns
    for source in read:
        if source.stat().st_mtime_ns > made:
            older = f"{target} exists and is older than {source}"
            if source.suffix == ".icm" and target.suffix != ".icm":
                raise UsageError(f"{older}: is it the original? name another output with -o")
            raise UsageError(f"{older}; --force overwrites it")
    raise ExistsError(f"{target} exists; --force overwrites it")


def read_icm(source: Path) -> bytes:
    """Read a whole .icm file, or stdin.

    Raises:
        UsageError: there is no such file, or it is a folder.
        FormatError: it is empty.
        IcmhError: it was written to meanwhile.
    """
    check_source(source)
    if is_stream(source):
        data = read_stream(source)
    else:
        from icmhcodec.imageio.atomic import read_whole

        data = read_whole(source)
    if not data:
        raise FormatError(f"{name(source)} is empty; an .icm file is expected")
    return data


def beginning(source: Path, size: int) -> bytes:
    """Look at the first bytes of a file, of stdin or of a pipe, which loses nothing by it."""
    check_source(source)
    if not is_stream(source):
        with source.open("rb") as file:
            return file.read(size)
    stream, begun = _taken(source)
    begun = begun or stream.read(size)
    _unread[source] = stream, begun
    return begun


@contextmanager
def reading(source: Path) -> Iterator[BinaryIO]:
    """Read a file, stdin or a pipe as a stream."""
    check_source(source)
    if is_stream(source):
        with _streaming(source) as (stream, begun):
            yield io.BufferedReader(_Begun(stream, begun, name(source)))
        return
    with source.open("rb") as file:
        yield file


@contextmanager
def writing(target: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Write to a stream that becomes a whole file or none, or to stdout."""
    if target == STREAM:
        stdout = _stdout()
        yield stdout
        stdout.flush()
        return
    from icmhcodec.imageio.atomic import atomic_stream

    with atomic_stream(target, force=force) as stream:
        yield stream


# Streams that were looked at, and what is still to be read of them.
_unread: dict[Path, tuple[Any, bytes]] = {}


def _taken(source: Path) -> tuple[Any, bytes]:
    """A stream that can be read once, and what was looked at of it."""
    stream, begun = _unread.pop(source, (None, b""))
    if source != STREAM:
        return stream or source.open("rb"), begun
    if sys.stdin is None:
        raise UsageError("stdin is closed; give a file, or something to read there")
    stdin = sys.stdin.buffer
    return stdin, begun if stdin is stream else b""


@contextmanager
def _streaming(source: Path) -> Iterator[tuple[Any, bytes]]:
    """The same, for as long as it is read; a pipe is closed then."""
    stream, begun = _taken(source)
    try:
        yield stream, begun
    finally:
        if source != STREAM:
            stream.close()


def read_stream(source: Path) -> bytes:
    """All of stdin or a pipe, what was looked at of it included."""
    with _streaming(source) as (stream, begun):
        data: bytes = begun + stream.read()
        return data


class _Begun(io.RawIOBase):
    """A stream behind what was looked at of it."""

    def __init__(self, stream: Any, begun: bytes, name: str) -> None:
        self._stream, self._begun = stream, begun
        self.name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._begun or self._stream.read1(len(buffer))
        data, self._begun = data[: len(buffer)], self._begun[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def check_source(source: Path) -> None:
    """Refuse what cannot be read as one file."""
    if source == STREAM:
        return
    if source.is_dir():
        raise UsageError(f"{source} is a folder; name a file")
    if not source.exists():
        raise UsageError(f"{source}: no such file")


def check_icm(source: Path) -> None:
    """Refuse what is no .icm file, before its output is thought of."""
    from icmhcodec.container import SIGNATURE

    begun = beginning(source, len(SIGNATURE))
    # What was altered on its way is told apart when it is read.
    if begun and not begun.startswith(SIGNATURE[: min(4, len(begun))]):
        raise FormatError(f"{name(source)}: not an .icm file: it does not begin with the signature")


def check_folder(folder: Path) -> None:
    """Refuse what is no folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")


def write(target: Path, data: bytes, *, force: bool) -> None:
    """Write a whole file or none, or to stdout."""
    if target == STREAM:
        _write_stdout(data)
        return
    from icmhcodec.imageio.atomic import atomic_write

    atomic_write(target, data, force=force)


def _stdout() -> BinaryIO:
    if sys.stdout is None:
        raise UsageError("stdout is closed; give -o FILE")
    return sys.stdout.buffer


def _write_stdout(data: bytes) -> None:
    stdout = _stdout()
    try:
        stdout.write(data)
        stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # Else the interpreter tries once more at its end, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise IcmhError(f"stdout: cannot be written: {error.strerror}") from error


def name(path: Path, stream: str = "stdin") -> str:
    """Name an input for people, or an output where `stream` is "stdout"."""
    return stream if path == STREAM else str(path)


@contextmanager
def blamed(path: Path) -> Iterator[None]:
    """Name the file in errors that come up meanwhile."""
    try:
        yield
    except IcmhError as error:
        if name(path) in str(error):
            raise
        raise type(error)(f"{name(path)}: {error}") from error
