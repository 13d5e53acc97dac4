"""The pool, with real processes: order, errors, deaths, interrupts, and that nobody is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from icmhcodec.errors import IcmhError, MissingWeightsError
from icmhcodec.pipeline import jobs

Work = Callable[[int], Iterable[str]]


class AwkwardError(Exception):
    """Cannot be pickled back: its constructor wants more than it keeps."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def twice() -> Work:
    return lambda task: (f"{task}{letter}" for letter in "ab")


def failing() -> Work:
    def work(task: int) -> Iterator[str]:
        yield f"{task}a"
        if task == 1:
            raise IcmhError("one is bad")
        if task == 2:
            raise AwkwardError("two ", "is bad")

    return work


def not_starting() -> Work:
    raise MissingWeightsError("no weights")


def dying_at_start() -> Work:
    os._exit(7)


def deadly(folder: Path, deaths: int) -> Work:
    """Task 1 kills its worker so many times."""

    def work(task: int) -> Iterator[str]:
        yield f"{task}a"
        died = len(list(folder.iterdir()))
        if task == 1 and died < deaths:
            (folder / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield f"{task}b"

    return work


def telling() -> Work:
    return lambda task: [os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]]


def described(results: Iterable[tuple[int, object]]) -> list[tuple[int, str]]:
    return [(task, str(result)) for task, result in results]


@pytest.mark.parametrize("number", [1, 2])
def test_every_result_comes_with_its_task(number: int) -> None:
    results = described(jobs.run(range(5), twice, jobs=number))
    assert sorted(results) == [(task, f"{task}{letter}") for task in range(5) for letter in "ab"]
    if number == 1:
        assert results == sorted(results)


@pytest.mark.parametrize("number", [1, 2])
def test_an_exception_ends_its_task_alone(number: int) -> None:
    results = list(jobs.run(range(4), failing, jobs=number))
    assert [task for task, _ in results].count(3) == 1
    errors = {task: result for task, result in results if isinstance(result, Exception)}
    assert isinstance(errors.pop(1), IcmhError)
    assert "two is bad" in str(errors.pop(2))
    assert not errors


def test_the_traceback_comes_along() -> None:
    results = dict(jobs.run([1], failing, jobs=2))
    assert isinstance(results[1], IcmhError)
    assert 'raise IcmhError("one is bad")' in str(results[1].__cause__)


@pytest.mark.parametrize("number", [1, 2])
def test_what_cannot_start_ends_the_run(number: int) -> None:
    with pytest.raises(MissingWeightsError, match="no weights"):
        list(jobs.run(range(4), not_starting, jobs=number))


def test_a_worker_that_dies_at_its_start_ends_the_run() -> None:
    with pytest.raises(IcmhError, match="exit code 7"):
        list(jobs.run(range(4), dying_at_start, jobs=2))


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_task_whose_worker_is_killed_is_tried_twice(tmp_path: Path, deaths: int) -> None:
    folder = tmp_path / "deaths"
    folder.mkdir()
    results = list(jobs.run(range(4), partial(deadly, folder, deaths), jobs=2))
    assert len(list(folder.iterdir())) == deaths
    good = {str(result) for _, result in results if not isinstance(result, Exception)}
    errors = [(task, str(result)) for task, result in results if isinstance(result, Exception)]
    expected = {f"{task}{letter}" for task in range(4) for letter in "ab"}
    if deaths == 1:
        assert (good, errors) == (expected, [])
    else:
        assert good == expected - {"1b"}
        [(task, message)] = errors
        assert task == 1
        assert "exit code -9" in message


def test_cores_are_shared_and_waiting_threads_sleep() -> None:
    before = dict(os.environ)
    [threads, policy] = [result for _, result in jobs.run([0], telling, jobs=2)]
    assert (threads, policy) == (str(max(1, jobs.cores() // 2)), "PASSIVE")
    assert next(jobs.run([0], telling, jobs=2, threads=3))[1] == "3"
    assert dict(os.environ) == before


def test_tasks_are_taken_when_they_are_needed() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for task in range(100):
            taken.append(task)
            yield task

    with closing(jobs.run(tasks(), twice, jobs=2)) as results:
        next(results)
    assert len(taken) <= 3


# A worker says who it is, and who the program is that it has started; both would stay for long.
SCRIPT = """
import os, subprocess, sys, time
from contextlib import closing
from icmhcodec.pipeline import jobs

def start():
    def work(task):
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        yield os.getpid(), program.pid
        time.sleep(600)
    return work

if __name__ == "__main__":
    with closing(jobs.run(range(4), start, jobs=2)) as results:
        for _, pids in results:
            print(*pids, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("whole_group", [False, True])
def test_nobody_is_left_behind(tmp_path: Path, number: signal.Signals, whole_group: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    pipe = subprocess.PIPE
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pids = [int(pid) for _ in range(2) for pid in process.stdout.readline().split()]
        assert len(pids) == 4
        if whole_group:  # as a terminal does
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        # The pipe ends when the last process that holds it does.
        said = process.stderr.read().decode()
    assert process.returncode == -number
    assert said.count("Traceback") == (number == signal.SIGINT), said
    assert not [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    """Whether a process still runs; one that has ended and is not yet waited for does not."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state in "ZX":
            return False
        time.sleep(0.02)
    return True
