"""Others write what is written, and what is read."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from icmhcodec.errors import ExistsError
from icmhcodec.imageio.atomic import atomic_write
from tests.cli.conftest import Run, run  # noqa: F401 (a fixture)
from tests.faults.conftest import TOY, Start, ended, picture, whole


@pytest.mark.parametrize("force", [False, True])
def test_of_many_writers_one_alone_wins_unless_forced(tmp_path: Path, force: bool) -> None:
    barrier = Barrier(8)

    def write(number: int) -> bool:
        barrier.wait()
        try:
            atomic_write(tmp_path / "a", bytes([number]) * 100_000, force=force)
        except ExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, range(8)))
    data = (tmp_path / "a").read_bytes()
    assert data == data[:1] * 100_000
    assert written[data[0]]
    assert sum(written) == (8 if force else 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_two_runs_over_one_folder_share_the_work(
    photos: Path, tmp_path: Path, start: Start
) -> None:
    coded = tmp_path / "coded"
    runs = [start("encode", photos, "-o", coded, *TOY) for _ in range(2)]
    for process in runs:
        code, said = ended(process)
        assert (code, said) == (0, []) or (code == 0 and "outputs exist and stay" in said[-1])
    assert len(whole(coded)) == 60


def test_a_picture_that_is_still_being_written(
    run: Run,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "photos").mkdir()
    for name in "abc":
        picture(tmp_path / "photos" / f"{name}.png")
    fstat, changing = os.fstat, (tmp_path / "photos" / "b.png")

    def grow(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        if found.st_ino == changing.stat().st_ino:
            with changing.open("ab") as file:
                file.write(b"more")
        return found

    monkeypatch.setattr(os, "fstat", grow)
    result = run("encode", "photos", "-o", "coded", *TOY)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "icmh: photos/b.png changed while it was read; try again when it is complete",
        "icmh: 1 of 3 inputs failed",
    ]
    assert whole(tmp_path / "coded") == {"a", "c"}


def test_a_second_run_does_what_is_missing_and_names_what_is_old(run: Run) -> None:  # noqa: F811
    Path("photos").mkdir()
    for name in "abc":
        picture(Path("photos") / f"{name}.png")
    command = ("encode", "photos", "-o", "coded", *TOY)
    assert run(*command).exit_code == 0
    kept = Path("coded/a.icm").stat().st_ino
    Path("coded/b.icm").unlink()
    again = run(*command)
    assert again.exit_code == 0
    assert again.stderr == "icmh: 2 of 3 outputs exist and stay; --force overwrites them\n"
    assert Path("coded/a.icm").stat().st_ino == kept
    made = Path("coded/c.icm").stat().st_mtime_ns
    os.utime("photos/c.png", ns=(made + 1, made + 1))
    old = run(*command)
    assert old.exit_code == 1
    assert old.stderr.splitlines() == [
        "icmh: coded/c.icm exists and is older than photos/c.png; --force overwrites it",
        "icmh: 2 of 3 outputs exist and stay; --force overwrites them",
        "icmh: 1 of 3 inputs failed",
    ]
    assert run(*command, "--force").exit_code == 0
    single = run("encode", "photos/a.png", "-o", "coded", "--base", "test-tiny")
    assert single.exit_code == 2
    assert single.stderr == "icmh: photos/a.png: coded/a.icm exists; --force overwrites it\n"
