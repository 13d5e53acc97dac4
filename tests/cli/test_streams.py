"""Pipes of the shell's as inputs and outputs, stdin and stdout beside files, and closed ones."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, ENVIRONMENT, Run, sample

TINY = ("--base", "test-tiny")


@contextmanager
def fed(data: bytes) -> Iterator[Path]:
    """A named pipe that somebody writes to once."""
    pipe = Path("pipe")
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(data), daemon=True)
    writer.start()
    yield pipe
    writer.join(10)
    assert not writer.is_alive()
    pipe.unlink()


def test_pipes_are_read_as_files_are(run: Run, photo: Path) -> None:
    Path("a.icm").write_bytes(sample())
    for command in (("info",), ("verify",)):
        with fed(sample()) as pipe:
            result = run(*command, pipe)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == run(*command, "a.icm").stdout.replace("a.icm", "pipe")
    with fed(sample()) as pipe:
        assert run("split", pipe, "--task", "det", "-o", "part.icm").exit_code == 0
    assert run("encode", photo, *TINY, "-o", "whole.icm").exit_code == 0
    with fed(photo.read_bytes()) as pipe:
        assert run("encode", pipe, *TINY, "-o", "piped.icm").exit_code == 0
    assert Path("piped.icm").read_bytes() == Path("whole.icm").read_bytes()
    with fed(Path("whole.icm").read_bytes()) as pipe:
        assert run("decode", pipe, "-o", "piped.png").exit_code == 0
    with fed(b"") as pipe:
        assert "pipe is empty" in run("info", pipe).stderr


def in_a_shell(line: str) -> subprocess.CompletedProcess[bytes]:
    command = ["bash", "-c", line.replace("icmh", " ".join(COMMAND))]
    return subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False)


def test_pipes_are_written_to(run: Run) -> None:
    Path("a.icm").write_bytes(sample())
    assert run("split", "a.icm", "--task", "det", "-o", "part.icm").exit_code == 0
    part = Path("part.icm").read_bytes()
    assert in_a_shell("icmh split a.icm --task det -o /dev/stdout | cat").stdout == part
    assert in_a_shell("icmh split a.icm --task det -o >(cat >got); wait; sleep 0.2").stderr == b""
    assert Path("got").read_bytes() == part


def test_words_keep_away_from_data_on_stdout(run: Run, photo: Path) -> None:
    assert run("encode", photo, *TINY, "-o", "whole.icm").exit_code == 0
    result = run("encode", photo, "-", *TINY, "--force", stdin=photo.read_bytes())
    assert result.exit_code == 0
    assert result.stdout_bytes == Path("whole.icm").read_bytes()
    assert f"{photo.stem}.icm: " in result.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("icmh encode - <&-", b"stdin is closed"),
        ("icmh split a.icm --task det -o - >&-", b"stdout is closed"),
        ("icmh info a.icm >&-", b""),
    ],
)
def test_closed_ones_are_named(run: Run, line: str, message: bytes) -> None:
    Path("a.icm").write_bytes(sample())
    result = in_a_shell(line)
    assert result.returncode == (2 if message else 0)
    assert message in result.stderr
    assert result.stderr.count(b"\n") == bool(message)


@pytest.mark.parametrize(
    "command",
    [
        ("encode", ""), ("info", ""), ("decode", "a.icm", "-o", ""), ("join", "", "-o", "b.icm"),
        ("split", "a.icm", "--task", "det", "-o", "b.icm", "--rest", ""),
    ],
)  # fmt: skip
def test_an_empty_name_is_not_the_folder_one_is_in(run: Run, command: tuple[str, ...]) -> None:
    Path("a.icm").write_bytes(sample())
    result = run(*command)
    assert result.exit_code == 2
    assert "an empty name" in result.stderr
    assert [path.name for path in Path().iterdir()] == ["a.icm"]
