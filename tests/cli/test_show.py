from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icmhcodec import container

from .conftest import Run, lines, sample


@pytest.fixture
def coded(run: Run, photo: Path) -> Path:
    """A file with a layer of an explicit mask."""
    mask = np.zeros((48, 80), np.uint8)
    mask[:, 16:48] = 255
    Image.fromarray(mask).save("mask.png")
    base = ("--base", "test-tiny", "--task", "roi", "--mask", "mask.png")
    assert run("encode", photo, *base, "-o", "coded.icm").exit_code == 0
    return Path("coded.icm")


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size


def test_a_page_is_drawn_beside_the_file(run: Run, coded: Path, photo: Path) -> None:
    result = run("show", coded)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert size("coded.show.png")[0] == pytest.approx(1600, abs=3)
    assert run("show", coded, "--original", photo, "--width", 500, "-o", "o.png").exit_code == 0
    assert size("o.png")[0] == pytest.approx(500, abs=3)


def test_nothing_is_overwritten_without_force(run: Run, coded: Path) -> None:
    Path("page.png").write_bytes(b"mine")
    result = run("show", coded, "-o", "page.png")
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert Path("page.png").read_bytes() == b"mine"
    assert run("show", coded, "-o", "page.png", "--width", 480, "--force").exit_code == 0
    assert size("page.png")[1] > 400


def test_a_pipe(run: Run, coded: Path) -> None:
    result = run("show", "-", "--width", 480, stdin=coded.read_bytes())
    assert result.exit_code == 0
    with Image.open(BytesIO(result.stdout_bytes)) as page:
        assert page.format == "PNG"


def test_a_folder_goes_on_after_a_bad_file(run: Run, coded: Path) -> None:
    folder = Path("coded")
    folder.mkdir()
    (folder / "a.icm").write_bytes(coded.read_bytes())
    (folder / "b.icm").write_bytes(coded.read_bytes()[:-9])
    result = run("show", "coded/", "-o", "pages/", "--width", 480)
    assert result.exit_code == 1
    assert "b.icm" in result.stderr
    assert [path.name for path in Path("pages").iterdir()] == ["a.show.png"]


def test_a_part(run: Run, coded: Path) -> None:
    data = coded.read_bytes()
    Path("roi.icm").write_bytes(container.split(data, ["roi"]))
    Path("rest.icm").write_bytes(container.rest(data, ["roi"]))
    assert run("show", "roi.icm", "--width", 480).exit_code == 0
    result = run("show", "rest.icm")
    assert result.exit_code == 3
    assert len(lines(result)) == 1
    assert "join" in result.stderr


def test_errors_are_one_line_with_their_codes(run: Run, coded: Path, photo: Path) -> None:
    Path("foreign.icm").write_bytes(sample())
    Path("text.icm").write_text("no picture")
    Image.new("RGB", (9, 9)).save("other.png")
    expected = {
        ("none.icm",): (2, "no such file"),
        ("text.icm",): (3, "not an .icm file"),
        ("foreign.icm",): (4, "test-tiny"),
        ("coded.icm", "-o", "page.jpg"): (2, ".png"),
        ("coded.icm", "--width", "10"): (2, "480"),
        ("coded.icm", "--original", "nothing.png"): (2, "no such file"),
        ("coded.icm", "--original", "-"): (2, "name a file"),
        ("coded.icm", "--original", "other.png"): (2, "9x9"),
        ("coded.icm", "foreign.icm", "--original", "other.png"): (2, "one at a time"),
    }
    for arguments, (code, words) in expected.items():
        result = run("show", *arguments)
        assert (result.exit_code, len(lines(result))) == (code, 1), arguments
        assert words in result.stderr, arguments
