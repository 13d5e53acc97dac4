from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run, lines, sample


def test_the_part_is_a_prefix(run: Run, icm: Path) -> None:
    assert run("split", icm, "--task", "det", "-o", "a.icm", "--rest", "b.icm").exit_code == 0
    part = Path("a.icm").read_bytes()
    assert sample().startswith(part)
    assert b"where and when" not in part
    assert b"where and when" in Path("b.icm").read_bytes()


def test_the_part_is_named_after_its_task(run: Run, icm: Path) -> None:
    assert run("split", icm, "--task", "det").exit_code == 0
    assert icm.with_name("photo.det.icm").exists()


def test_pipes(run: Run, icm: Path) -> None:
    result = run("split", "-", "--task", "det", stdin=sample())
    assert sample().startswith(result.stdout_bytes)
    assert len(result.stdout_bytes) > 100


def test_nothing_is_written_when_one_target_exists(run: Run, icm: Path) -> None:
    Path("b.icm").write_bytes(b"kept")
    result = run("split", icm, "--task", "det", "-o", "a.icm", "--rest", "b.icm")
    assert result.exit_code == 2
    assert not Path("a.icm").exists()
    assert Path("b.icm").read_bytes() == b"kept"
    forced = run("split", icm, "--task", "det", "-o", "a.icm", "--rest", "b.icm", "--force")
    assert forced.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photo.icm", "--task", "seg"), "it has det, human"),
        (("none.icm", "--task", "det"), "no such file"),
        ((".", "--task", "det", "-o", "x.icm"), "is a folder"),
        (("photo.icm", "--task", "det", "-o", "photo.icm", "--force"), "is the input itself"),
        (("photo.icm", "--task", "det", "-o", "x.icm", "--rest", "x.icm"), "another file"),
    ],
)
def test_wrong_uses(run: Run, icm: Path, arguments: tuple[str, ...], message: str) -> None:
    before = set(Path().iterdir())
    result = run("split", *arguments)
    assert result.exit_code == 2
    assert len(lines(result)) == 1
    assert message in result.stderr
    assert set(Path().iterdir()) == before
    assert icm.read_bytes() == sample()


def test_a_damaged_file_is_named(run: Run, icm: Path) -> None:
    icm.write_bytes(sample()[:-5])
    result = run("split", icm, "--task", "det")
    assert result.exit_code == 3
    assert str(icm) in result.stderr
