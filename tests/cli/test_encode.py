from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icmhcodec.pipeline.info import info

from .conftest import Run, lines, spawn

TINY = ("--base", "test-tiny")


def test_a_file_lands_beside_its_input(run: Run, photo: Path) -> None:
    result = run("encode", photo, *TINY)
    assert result.exit_code == 0, result.stderr
    target = photo.with_suffix(".icm")
    found = info(target.read_bytes())
    assert (found["width"], found["height"]) == (80, 48)
    assert f"{found['bytes']:,} bytes" in result.stdout


def test_the_same_bytes_on_every_way(run: Run, photo: Path) -> None:
    run("encode", photo, *TINY, "-q", "3.5", "-o", "a.icm")
    piped = run("encode", "-", *TINY, "-q", "3.5", stdin=photo.read_bytes())
    assert piped.stdout_bytes == Path("a.icm").read_bytes()
    assert piped.stderr == ""
    process = spawn("encode", photo, *TINY, "-q", "3.5", "-o", "-")
    assert process.stdout == piped.stdout_bytes


def test_json(run: Run, photo: Path) -> None:
    found = json.loads(run("encode", photo, *TINY, "--json", "-q", "2").stdout)
    assert found["bytes"] == photo.with_suffix(".icm").stat().st_size
    assert found["quality"] == 2
    assert found["met"] is True
    assert [layer["task"] for layer in found["layers"]] == ["human"]


def test_tiles(run: Run, photo: Path) -> None:
    assert run("encode", photo, *TINY, "--tile", "64").exit_code == 0
    assert info(photo.with_suffix(".icm").read_bytes())["tiles"] == {"columns": 2, "rows": 1}
    assert "in 2x1 tiles" in run("info", photo.with_suffix(".icm")).stdout
    result = run("encode", photo, *TINY, "--tile", "100", "--force")
    assert result.exit_code == 2
    assert "multiple of 64" in result.stderr


def test_a_folder_goes_on_after_a_bad_file(run: Run, photo: Path) -> None:
    Path("in").mkdir()
    photo.rename("in/a.png")
    Path("in/b.png").write_text("no picture")
    Path("in/c.jpg").write_bytes(Path("in/a.png").read_bytes())
    result = run("encode", "in", "-o", "out", *TINY)
    assert result.exit_code == 1
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.icm", "c.icm"]
    assert "in/b.png" in lines(result)[0]
    assert lines(result)[1:] == ["icmh: 1 of 3 inputs failed"]


def test_several_processes_write_the_same_files(run: Run, photo: Path) -> None:
    for name in ("a", "b", "c"):
        Path("in").mkdir(exist_ok=True)
        Path(f"in/{name}.png").write_bytes(photo.read_bytes())
    Path("in/b.png").write_text("no picture")
    one = run("encode", "in", "-o", "one/", *TINY)
    two = run("encode", "in", "-o", "two/", *TINY, "--jobs", "2")
    assert one.exit_code == two.exit_code == 1
    assert two.stderr == one.stderr
    for name in ("a.icm", "c.icm"):
        assert Path("two", name).read_bytes() == Path("one", name).read_bytes()
    assert run("decode", "two", "-o", "seen/", "--jobs", "2").exit_code == 0
    run("decode", "two/a.icm", "-o", "a.png")
    assert Path("seen/a.png").read_bytes() == Path("a.png").read_bytes()


def test_sizes_are_kept_or_the_nearest_is_written(run: Run, photo: Path) -> None:
    best = run("encode", photo, *TINY, "--size", "1.2k", "-o", "a.icm")
    assert best.exit_code == 0, best.stderr
    assert Path("a.icm").stat().st_size <= 1200
    result = run("encode", photo, *TINY, "--bpp", "0.01", "-o", "b.icm")
    assert result.exit_code == 1
    assert "--bpp 0.01 cannot be met" in result.stderr
    assert Path("b.icm").exists()


def test_an_explicit_mask_makes_a_task_layer(run: Run, photo: Path) -> None:
    mask = np.zeros((48, 80), np.uint8)
    mask[16:32, 16:48] = 255
    Image.fromarray(mask).save("mask.png")
    result = run("encode", photo, *TINY, "--task", "det", "--mask", "mask.png", "-o", "a.icm")
    assert result.exit_code == 0, result.stderr
    det, human = info(Path("a.icm").read_bytes())["layers"]
    assert (det["task"], det["mask"], human["task"]) == ("det", "explicit", "human")
    assert det["fill"] == pytest.approx(2 / 15)  # of 3 x 5 positions


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.png",), 2, "none.png: no such file"),
        (("photo.png", "-o", "photo.png", "--force"), 2, "is the input itself"),
        (("photo.png", "-o", "none/x.icm"), 2, "does not exist"),
        (("photo.png", "-o", "there.icm"), 2, "--force"),
        (("text.png",), 1, "text.png: it is not a PNG"),
        (("photo.png", "-q", "3", "--bpp", "1"), 2, "exclude each other"),
        (("photo.png", "--bpp", "nan"), 2, "finite"),
        (("photo.png", "--bpp", "inf"), 2, "finite"),
        (("photo.png", "--task-size", "3k"), 2, "add --task"),
        (("photo.png", "--mask", "m.png"), 2, "add one --task"),
        (("photo.png", "--task", "det", "--mask", "m.png"), 2, "m.png: no such file"),
        (("photo.png", "--no-human"), 2, "add --task"),
        (("photo.png", "--profile", "machine"), 2, "add --task"),
        (("photo.png", "--task", "det"), 4, "icmh models add"),
        (("photo.png", "--task", "det"), 4, "det-0 scalable for mbt2018-mean-gain-0"),
        (("photo.png", "--task", "det:77"), 2, "level"),
        (("photo.png", "--device", "nowhere"), 2, "device"),
        (("photo.png", "--json", "-o", "-"), 2, "share stdout"),
        (("photo.png", "--base", "none"), 4, "none"),
    ],
)
def test_errors(run: Run, photo: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    Path("there.icm").write_text("kept")
    Path("text.png").write_text("text")
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    base = () if "--base" in arguments else TINY
    result = run("encode", *arguments, *base)
    assert result.exit_code == code, result.stderr
    assert len(lines(result)) == 1
    assert message in result.stderr
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before
