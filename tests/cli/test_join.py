from __future__ import annotations

from pathlib import Path

import pytest

from tests.container.video.samples import clip

from .conftest import Run, lines, sample


@pytest.fixture
def parts(run: Run, icm: Path) -> tuple[str, str]:
    assert run("split", icm, "--task", "det", "-o", "a.icm", "--rest", "b.icm").exit_code == 0
    return "a.icm", "b.icm"


def test_parts_in_any_order_give_the_original(run: Run, parts: tuple[str, str]) -> None:
    assert run("join", *parts, "-o", "c.icm").exit_code == 0
    assert run("join", *reversed(parts), "-o", "d.icm").exit_code == 0
    assert Path("c.icm").read_bytes() == Path("d.icm").read_bytes() == sample()


def test_a_part_from_stdin(run: Run, parts: tuple[str, str]) -> None:
    result = run("join", "-", "b.icm", "-o", "-", stdin=Path("a.icm").read_bytes())
    assert result.stdout_bytes == sample()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("a.icm", "b.icm", "-o", "a.icm", "--force"), 2, "is the input itself"),
        (("a.icm", "b.icm", "-o", "photo.icm"), 2, "--force"),
        (("a.icm", "none.icm", "-o", "c.icm"), 2, "none.icm: no such file"),
        (("-", "-", "-o", "c.icm"), 2, "only one part"),
        (("a.icm", "text.icm", "-o", "c.icm"), 3, "not an .icm file"),
    ],
)
def test_wrong_uses(
    run: Run, parts: tuple[str, str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    Path("text.icm").write_text("text")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    result = run("join", *arguments)
    assert result.exit_code == code
    assert len(lines(result)) == 1
    assert message in result.stderr
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_parts_of_pictures_and_clips_are_told_apart(run: Run, tmp_path: Path) -> None:
    Path("a.icm").write_bytes(sample())
    Path("b.icm").write_bytes(clip().build())
    for parts in (("a.icm", "b.icm"), ("b.icm", "a.icm")):
        result = run("join", *parts, "-o", "c.icm")
        assert result.exit_code == 2
        assert "b.icm is of a clip and a.icm of a picture" in result.stderr


def test_the_part_that_is_wrong_is_named(run: Run, tmp_path: Path) -> None:
    Path("a.icm").write_bytes(sample())
    Path("b.icm").write_bytes(sample()[:-3])
    result = run("join", "a.icm", "b.icm", "-o", "c.icm")
    assert result.exit_code == 3
    assert result.stderr.startswith("icmh: b.icm: truncated")
