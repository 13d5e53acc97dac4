from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icmhcodec import imageio

from .conftest import Run, lines, sample, spawn

JPEG = b"\xff\xd8\xff"


@pytest.fixture
def coded(run: Run, photo: Path) -> Path:
    """A file with a detection layer of an explicit mask, and its two parts."""
    mask = np.zeros((48, 80), np.uint8)
    mask[:, 16:48] = 255
    Image.fromarray(mask).save("mask.png")
    base = ("--base", "test-tiny", "--task", "det", "--mask", "mask.png")
    assert run("encode", photo, *base, "-o", "coded.icm").exit_code == 0
    assert run("split", "coded.icm", "--task", "det", "--rest", "rest.icm").exit_code == 0
    photo.unlink()
    return Path("coded.icm")


def pixels(path: str | BytesIO) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_human_picture_does_not_know_of_tasks(run: Run, coded: Path, photo: Path) -> None:
    assert run("decode", coded).exit_code == 0
    rows, columns = np.mgrid[:48, :80]
    original = np.stack([rows * 5, columns * 3, (rows * columns) % 256], axis=2).astype(np.uint8)
    Image.fromarray(original).save(photo)
    run("encode", photo, "--base", "test-tiny", "-o", "plain.icm")
    run("decode", "plain.icm", "--human")
    assert np.array_equal(pixels("coded.png"), pixels("plain.png"))


def test_a_task_part_gives_the_task_picture(run: Run, coded: Path) -> None:
    assert run("decode", coded, "--task", "det").exit_code == 0
    part = run("decode", "coded.det.icm", "-o", "part.png")
    assert part.exit_code == 0
    assert "'det'" in part.stderr  # a choice that was not made is said
    assert np.array_equal(pixels("coded.det.png"), pixels("part.png"))
    run("decode", coded)
    assert not np.array_equal(pixels("coded.png"), pixels("part.png"))


def test_what_adapted_a_picture_is_said(run: Run, photo: Path) -> None:
    run("encode", photo, "--task", "det", "-o", "x.icm")
    said = run("-v", "decode", "x.icm", "--task", "det", "-o", "x.png").stderr
    assert "x.png: the picture of layer det (adapters: decoder)\n" in said
    said = run("-v", "decode", "x.icm", "-o", "y.png").stderr
    assert "y.png: the picture of layer human\n" in said


def test_formats_and_pipes(run: Run, coded: Path) -> None:
    for name in ("a.jpg", "a.webp", "a.tif"):
        assert run("decode", coded, "-o", name).exit_code == 0
    assert Path("a.jpg").read_bytes().startswith(JPEG)
    assert run("decode", coded, "-v", "--format", "jpeg", "-o", "odd.name").exit_code == 0
    assert Path("odd.name").read_bytes().startswith(JPEG)
    piped = run("decode", "-", stdin=coded.read_bytes())
    assert np.array_equal(pixels(BytesIO(piped.stdout_bytes)), pixels("a.tif"))
    process = spawn("decode", coded, "-o", "-", "--format", "png")
    assert process.stdout == piped.stdout_bytes


def test_sixteen_bits_and_metadata_that_may_be_stripped(run: Run) -> None:
    sample = Path(__file__).parents[1] / "imageio" / "samples"
    base = ("--base", "test-tiny")
    assert (
        run("encode", sample / "rgb16.png", sample / "turbo.jpg", *base, "-o", "c/").exit_code == 0
    )
    assert run("decode", "c/rgb16.icm", "-o", "fine.tif").exit_code == 0
    assert imageio.read("fine.tif").depth == 16
    assert run("decode", "c/rgb16.icm", "-o", "coarse.jpg").exit_code == 0
    assert imageio.read("coarse.jpg").depth == 8
    assert run("decode", "c/turbo.icm", "-o", "full.png").exit_code == 0
    assert run("decode", "c/turbo.icm", "--strip", "-o", "bare.png").exit_code == 0
    full, bare = imageio.read("full.png"), imageio.read("bare.png")
    assert np.array_equal(full.pixels, bare.pixels)
    assert full.exif is not None
    assert full.xmp is not None
    assert (bare.icc, bare.exif, bare.xmp) == (full.icc, None, None)


def test_partial(run: Run, coded: Path) -> None:
    cut = coded.read_bytes()[:-30]
    coded.write_bytes(cut)
    whole = run("decode", coded)
    assert whole.exit_code == 3
    assert "truncated" in whole.stderr
    assert not Path("coded.png").exists()
    assert run("decode", coded, "--partial").exit_code == 0
    assert Path("coded.png").exists()


@pytest.mark.usefixtures("coded")
def test_a_region(run: Run) -> None:
    assert run("decode", "coded.icm").exit_code == 0
    assert run("decode", "coded.icm", "--crop", "20,10,30,16", "-o", "part.png").exit_code == 0
    difference = pixels("part.png").astype(int) - pixels("coded.png")[10:26, 20:50]
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("coded.icm", "--crop", "70,0,20,8"), 2, "80x48 pixels"),
        (("coded.icm", "--task", "../x"), 2, "no task"),
        (("coded.icm", "--task", "cls"), 2, "it has det, human"),
        (("coded.icm", "--task", "det", "--human"), 2, "exclude each other"),
        (("coded.icm", "-o", "a.gif"), 2, "a.gif"),
        (("coded.det.icm", "--human"), 3, "human"),
        (("rest.icm",), 3, "join the part"),
        (("mask.png", "-o", "x.png"), 3, "not an .icm file"),
        (("none.icm",), 2, "no such file"),
        (("coded.icm", "-o", "mask.png"), 2, "is it the original"),
        (("foreign.icm",), 4, "test-tiny"),
    ],
)
def test_errors(run: Run, coded: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    Path("foreign.icm").write_bytes(sample())  # of other weights
    before = sorted(Path().iterdir())
    result = run("decode", *arguments)
    assert result.exit_code == code, result.stderr
    assert len(lines(result)) == 1
    assert message in result.stderr
    assert sorted(Path().iterdir()) == before
