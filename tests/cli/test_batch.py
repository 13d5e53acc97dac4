from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from icmhcodec.cli import batch
from icmhcodec.cli.files import STREAM, Job
from icmhcodec.errors import FormatError, UsageError


@pytest.fixture(autouse=True)
def _context() -> object:
    with click.Context(click.Command("test")) as context:
        yield context


def jobs(*names: str) -> list[Job]:
    return [Job(Path(name), STREAM) for name in names]


def work(job: Job) -> None:
    if job.source.name.startswith("bad"):
        raise FormatError("damaged")


def unchecked(job: Job) -> None:
    pass


def test_all_good() -> None:
    done: list[str] = []
    code = batch.run(
        None, jobs("a", "b"), unchecked, lambda: lambda job: done.append(str(job.source))
    )
    assert (code, done) == (0, ["a", "b"])


def test_a_single_input_gives_its_own_code() -> None:
    assert batch.run(None, jobs("bad"), unchecked, lambda: work) == 3


def test_a_run_goes_on_after_a_bad_file(capsys: pytest.CaptureFixture[str]) -> None:
    done = []

    def note(job: Job) -> None:
        work(job)
        done.append(job.source.name)

    assert batch.run("test", jobs("a", "bad", "c"), unchecked, lambda: note) == 1
    assert done == ["a", "c"]
    said = capsys.readouterr().err.splitlines()
    assert said == ["icmh: bad: damaged", "icmh: 1 of 3 inputs failed"]


def test_checks_come_first_and_nothing_starts_without_need() -> None:
    def refuse(job: Job) -> None:
        raise UsageError("exists")

    def start() -> batch.Work:
        raise AssertionError("networks were loaded")

    assert batch.run("test", jobs("a"), refuse, start) == 2
    assert batch.run("test", jobs("a", "b"), refuse, start) == 1


def test_what_stops_the_whole_run_is_not_caught() -> None:
    def close(job: Job) -> None:
        raise BrokenPipeError

    def interrupt(job: Job) -> None:
        raise KeyboardInterrupt

    with pytest.raises(BrokenPipeError):
        batch.run(None, jobs("a", "b"), unchecked, lambda: close)
    with pytest.raises(KeyboardInterrupt):
        batch.run(None, jobs("a", "b"), unchecked, lambda: interrupt)


def start_elsewhere() -> Callable[[Job], int]:
    def elsewhere(job: Job) -> int:
        work(job)
        return os.getpid()

    return elsewhere


def test_several_processes_do_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    done = {}

    def finish(job: Job, process: int) -> None:
        done[job.source.name] = process

    several = [Job(Path(name), Path("out")) for name in ("a", "bad", "c")]
    assert batch.run("test", several, unchecked, start_elsewhere, finish, processes=2) == 1
    assert sorted(done) == ["a", "c"]
    assert os.getpid() not in done.values()
    said = capsys.readouterr().err.splitlines()
    assert said == ["icmh: bad: damaged", "icmh: 1 of 3 inputs failed"]


def test_stdin_is_read_in_this_process() -> None:
    done = []
    some = [Job(STREAM, STREAM), Job(Path("a"), STREAM)]
    finish = lambda job, process: done.append(process)  # noqa: E731
    assert batch.run(None, some, unchecked, start_elsewhere, finish, processes=2) == 0
    assert done == [os.getpid()] * 2


def test_a_bar_for_each_and_one_for_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with batch.bars({"one": 2, "two": 3}) as advance:
        advance("one", 2)
        advance("two", 1)
    said = capsys.readouterr().err
    assert all(shown in said for shown in ("one", "2/2", "two", "1/3", "all", "3/5"))


def test_a_bar_is_shown_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert batch.run("title", jobs("a", "bad"), unchecked, lambda: work) == 1
    said = capsys.readouterr().err
    assert "title" in said
    assert "2/2" in said
    assert "icmh: bad: damaged" in said
