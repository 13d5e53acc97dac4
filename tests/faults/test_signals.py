"""Runs over a folder that are stopped, or that lose a worker."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.faults.conftest import TOY, Start, ended, processes_of, wait_for, whole


@pytest.mark.parametrize(
    ("number", "jobs", "code", "word"),
    [(signal.SIGINT, 1, 130, "interrupted"), (signal.SIGTERM, 2, 143, "terminated")],
)
def test_a_stopped_run_leaves_whole_files_and_says_how_many(
    photos: Path, tmp_path: Path, start: Start, number: int, jobs: int, code: int, word: str
) -> None:
    coded = tmp_path / "coded"
    process = start("encode", photos, "-o", coded, *TOY, "--jobs", jobs)
    wait_for(3, coded, process)
    process.send_signal(number)
    returned, said = ended(process)
    assert returned == code
    last = re.fullmatch(rf"icmh: {word}; (\d+) of 60 done, run it again for the rest", said[-1])
    assert last, said
    # The signal may come between the writing of a file and its counting.
    assert len(whole(coded)) - int(last[1]) in (0, 1)
    assert all_ended(process.pid)


def test_a_killed_run_leaves_whole_files_and_a_second_does_the_rest(
    photos: Path, tmp_path: Path, start: Start
) -> None:
    coded = tmp_path / "coded"
    command = ("encode", photos, "-o", coded, *TOY)
    process = start(*command)
    wait_for(3, coded, process)
    process.kill()
    ended(process)
    done = whole(coded)
    assert 3 <= len(done) < 60
    written = {name: (coded / f"{name}.icm").stat() for name in done}
    again = start(*command)
    code, said = ended(again)
    assert (code, said[-1:]) == (
        0,
        [f"icmh: {len(done)} of 60 outputs exist and stay; --force overwrites them"],
    )
    assert len(whole(coded)) == 60
    for name, before in written.items():
        now = (coded / f"{name}.icm").stat()
        assert (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_worker_does_what_a_killed_one_had(
    photos: Path, tmp_path: Path, start: Start
) -> None:
    coded = tmp_path / "coded"
    process = start("encode", photos, "-o", coded, *TOY, "--jobs", 2)
    wait_for(3, coded, process)
    os.kill(worker_of(process.pid), signal.SIGKILL)
    code, said = ended(process)
    assert code == 0
    # The worker may have written the file that it could not tell of any more.
    assert said in ([], ["icmh: 1 of 60 outputs exist and stay; --force overwrites them"])
    assert len(whole(coded)) == 60


def all_ended(session: int) -> bool:
    """Whether all of a session's processes end, which may take them a moment."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not processes_of(session):
            return True
        time.sleep(0.05)
    return False


def worker_of(session: int) -> int:
    """A worker process: it has a group of its own."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pid in processes_of(session):
            if pid != session and os.getpgid(pid) == pid:
                return pid
    raise AssertionError("no worker")
