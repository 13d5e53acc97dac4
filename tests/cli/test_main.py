"""The command as a whole: exit codes, speed, interrupts, pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from icmhcodec import __version__
from icmhcodec.cli.main import COMMANDS

from .conftest import COMMAND, ENVIRONMENT, Run, lines, spawn


def test_help_lists_the_commands_and_exit_codes(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout
    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"\n    {code:<3}  " in result.stdout


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_every_command_has_help(run: Run, command: tuple[str, ...]) -> None:
    result = run(*command, "-h")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: icmh")


@pytest.mark.parametrize("group", [(), ("models",), ("train",)])
def test_a_group_alone_shows_its_help(run: Run, group: tuple[str, ...]) -> None:
    result = run(*group)
    assert result.exit_code == 0
    assert "Commands:" in result.stdout


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"icmh {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [("--nothing",), ("nothing",), ("split",), ("join", "a"), ("encode", "a", "-q", "10")],
)
def test_wrong_usage_is_one_line_and_2(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert len(lines(result)) == 1
    assert result.stderr.startswith("icmh: ")
    assert "--help" in result.stderr


@pytest.mark.parametrize("arguments", [("--debug", "info"), ("info", "--debug")])
def test_a_traceback_comes_only_with_debug(run: Run, arguments: tuple[str, ...]) -> None:
    Path("text.icm").write_text("text")
    assert "Traceback" not in run("info", "text.icm").stderr
    result = run(*arguments, "text.icm")
    assert "Traceback" in result.stderr
    assert lines(result)[-1].startswith("icmh: text.icm: not an .icm file")


def test_commands_without_networks_load_no_heavy_module(icm: Path) -> None:
    script = (
        "import sys\n"
        "from icmhcodec.cli.main import icmh\n"
        "try: icmh(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(sorted({'torch', 'rich', 'compressai', 'av'} & sys.modules.keys()))\n"
    )
    part = icm.with_name("part.icm")
    for arguments in (
        ["--help"],
        ["info", icm],
        ["verify", icm],
        ["split", icm, "--task", "det", "-o", part, "--rest", icm.with_name("rest.icm")],
        ["join", part, icm.with_name("rest.icm"), "-o", icm.with_name("whole.icm")],
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            capture_output=True,
            check=True,
            text=True,
            env=ENVIRONMENT,
        )
        assert done.stdout.splitlines()[-1] == "[]", arguments


def test_no_ansi_in_pipes(icm: Path) -> None:
    for arguments in (["info", icm, icm], ["--help"], ["info", "none", "nothing"]):
        done = spawn(*arguments)
        assert b"\x1b" not in done.stdout + done.stderr


def test_a_closed_pipe_is_no_error_message(icm: Path) -> None:
    command = [*COMMAND, "info", str(icm), str(icm)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert said == b""
    assert process.returncode == 1


def test_an_interrupt_is_one_line_and_130(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.icm"
    os.mkfifo(fifo)
    target = tmp_path / "part.icm"
    command = [*COMMAND, "split", str(fifo), "--task", "det", "-o", str(target)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stderr is not None
        with fifo.open("wb"):  # opens when the process does, which then waits for data
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
    assert said == b"icmh: interrupted\n"
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == [fifo]
