"""`icmh bench` as a whole; workers and killed runs are real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from icmhcodec.bench import codecs as bench_codecs
from icmhcodec.bench.codecs import plain

from ..bench.fakes import Brightness
from .conftest import COMMAND, ENVIRONMENT, Run, lines, spawn

CODECS = ("--codecs", "jpeg,webp,icmh:test-tiny")
POINTS = ("--points", "jpeg=10,40,70;webp=10,40,80;icmh:test-tiny=2,6")
FILES = ("--html", "--plot", "--csv", "--json")
COSTS = {"encode_s", "decode_s", "peak_mb"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICMH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows, columns = np.mgrid[:64, :80]
    for k in range(3):
        planes = [rows * 3 + k, columns * 3, (rows * columns // (k + 2)) % 256]
        Image.fromarray(np.stack(planes, 2).astype(np.uint8)).save(folder / f"{k}.png")
    return folder


def untimed(report: dict[str, Any]) -> dict[str, Any]:
    rows = [{key: row[key] for key in row if key not in COSTS} for row in report["rows"]]
    return {**report, "rows": rows, "command": ""}


def read(path: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def test_every_report_is_written(run: Run, folder: Path) -> None:
    files = ["--json", "a.json", "--csv", "a.csv", "--html", "a.html", "--plot", "a.svg"]
    result = run("bench", folder, *CODECS, *POINTS, *files)
    assert result.exit_code == 0, result.stderr
    assert "jpeg" in result.stdout
    report = read("a.json")
    assert report["command"].startswith(f"icmh bench {folder} --codecs jpeg,webp,icmh:test-tiny ")
    found = {(row["curve"], row["point"]) for row in report["rows"]}
    assert len(found) == len(report["rows"]) == 1 + 3 + 3 + 2
    assert ("original", 0.0) in found
    assert ("webp/plain/human", 40.0) in found
    assert report["dataset"]["images"] == 3
    assert report["failures"] == []
    assert Path("a.csv").read_text().startswith("curve,")
    assert Path("a.html").read_text().startswith("<!doctype html>")
    assert "<svg" in Path("a.svg").read_text()
    assert not [path for path in Path().iterdir() if path.suffix == ".part"]


def test_bytes_are_those_of_the_files(run: Run, folder: Path) -> None:
    run("bench", folder, "--codecs", "webp", "--points", "webp=40", "--json", "a.json")
    sizes = []
    for path in folder.iterdir():
        with Image.open(path) as image:
            image.save("a.webp", quality=40, method=6)
        sizes.append(Path("a.webp").stat().st_size)
    [_, row] = read("a.json")["rows"]
    assert row["bytes"] == sum(sizes)
    assert row["bpp"] == pytest.approx(8 * sum(sizes) / (3 * 64 * 80))


def test_a_second_run_makes_no_codec_call(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("bench", folder, "--codecs", "jpeg,webp", *("--points", "jpeg=10,40;webp=10"))
    assert run(*arguments, "--json", "a.json", "--html", "a.html").exit_code == 0

    def refuse(*_: object) -> None:
        raise AssertionError("a codec was called")

    monkeypatch.setattr(plain.PillowCodec, "encode", refuse)
    monkeypatch.setattr(plain.PillowCodec, "pixels", refuse)
    assert run(*arguments, "--json", "b.json", "--html", "b.html").exit_code == 0
    pages = [Path(name).read_text() for name in ("a.html", "b.html")]
    assert pages[0].count("<img") == pages[1].count("<img") > 0
    assert {**read("b.json"), "command": ""} == {**read("a.json"), "command": ""}
    assert run(*arguments, "--no-cache").exit_code == 1


def test_a_report_that_fails_costs_no_other(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no pen")

    monkeypatch.setattr("icmhcodec.bench.report.plot.write", fail)
    arguments = ("bench", folder, "--codecs", "jpeg", "--points", "jpeg=10,40")
    names = [f"a.{kind}" for kind in ("html", "svg", "csv", "json")]
    result = run(*arguments, *sum(zip(FILES, names, strict=True), ()))
    assert result.exit_code == 1
    assert [Path(name).exists() for name in names] == [True, False, True, True]
    assert len(lines(result)) == 1
    assert "--plot a.svg" in result.stderr
    assert "no pen" in result.stderr
    assert "jpeg" in result.stdout


def test_an_anchor_that_fails_costs_no_report(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain.PillowCodec, "encode", lambda *_: 1 / 0)
    arguments = ("--codecs", "jpeg,icmh:test-tiny", "--points", "jpeg=10;icmh:test-tiny=2")
    result = run("bench", folder, *arguments, "--anchor", "jpeg", "--json", "a.json")
    assert result.exit_code == 1
    report = read("a.json")
    assert report["settings"]["anchors"] == ["icmh:test-tiny/plain/human"]
    assert [failure["codec"] for failure in report["failures"]] == ["jpeg/plain"]


@pytest.mark.parametrize(
    ("package", "codecs", "more"),
    [("bjontegaard", "jpeg,webp", ()), ("matplotlib", "jpeg", ("--html", "a.html"))],
)
def test_a_missing_package_is_said_before_any_work(
    run: Run,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    codecs: str,
    more: tuple[str, ...],
) -> None:
    monkeypatch.setattr("icmhcodec.cli.bench.find_spec", lambda name: None)
    monkeypatch.setattr("icmhcodec.bench.engine.run", lambda *_, **__: 1 / 0)
    result = run("bench", folder, "--codecs", codecs, *more)
    assert (result.exit_code, len(lines(result))) == (2, 1)
    assert f"the package {package} is not here; pip install" in result.stderr


def test_a_killed_run_goes_on_to_the_same_report(run: Run, folder: Path) -> None:
    arguments = ["bench", str(folder), *CODECS, *POINTS, "--jobs", "2"]
    command = [*COMMAND, *arguments, "--json", "a.json", "--cache", "killed"]
    with subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True) as process:
        kept = Path("killed/results.sqlite-wal")
        while process.poll() is None and not (kept.exists() and kept.stat().st_size > 12_000):
            time.sleep(0.002)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
    assert not Path("a.json").exists()
    resumed = spawn(*arguments, "--json", "a.json", "--cache", "killed")
    assert resumed.returncode == 0, resumed.stderr
    alone = run(*arguments[:-2], "--json", "b.json", "--cache", "alone")
    assert alone.exit_code == 0, alone.stderr
    assert untimed(read("a.json")) == untimed(read("b.json"))


def test_a_broken_picture_is_said_and_left_out_of_all(run: Run, folder: Path) -> None:
    arguments = ("bench", folder, "--codecs", "jpeg,webp", "--points", "jpeg=10;webp=10")
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:90])
    result = run(*arguments, "--json", "a.json")
    assert result.exit_code == 1
    assert len(lines(result)) == 1
    assert "1.png" in result.stderr
    report = read("a.json")
    assert report["dataset"]["images"] == 2
    [failure] = report["failures"]
    assert failure["sample"] == "1.png"
    assert failure["message"]
    assert {row["bytes"] for row in report["rows"] if row["curve"] == "original"} == {
        2 * 64 * 80 * 3
    }


def test_a_network_gives_metrics(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Network(Brightness):
        def to(self, device: str) -> Network:
            assert device == "cpu"
            return self

    monkeypatch.setattr("icmhcodec.bench.engine.load_network", lambda name: Network())
    arguments = ("bench", folder, "--points", "jpeg=10,40", "--json", "a.json", "--force")
    result = run(*arguments, "--codecs", "jpeg,jpeg@net", "--task", "det")
    assert result.exit_code == 0, result.stderr
    report = read("a.json")
    assert report["network"] == {"id": "brightness", "fingerprint": "0123456789abcdef"}
    assert all("agreement" in row["metrics"] for row in report["rows"])
    assert "jpeg@32" in {row["codec"] for row in report["rows"]}
    result = run(*arguments, "--codecs", "jpeg", "--task", "cls", "--network", "x")
    assert (result.exit_code, len(lines(result))) == (2, 1)
    assert "not for --task cls" in result.stderr


def test_limit_and_seed_choose_pictures(run: Run, folder: Path) -> None:
    arguments = ("bench", folder, "--codecs", "jpeg", "--points", "jpeg=10", "--json", "-")
    bytes_ = set()
    for seed in range(8):
        result = run(*arguments, "--limit", 1, "--seed", seed)
        report = json.loads(result.stdout)
        assert report["dataset"]["images"] == 1
        bytes_.add(report["rows"][1]["bytes"])
        assert "jpeg" in result.stderr  # the table gives way to the JSON
    assert len(bytes_) > 1


def test_by_default_all_codecs_that_are_here(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_codecs, "available", lambda: ["webp", "jpeg"])
    run("bench", folder, "--points", "jpeg=10;webp=10", "--json", "a.json")
    assert {row["codec"] for row in read("a.json")["rows"]} >= {"webp", "jpeg"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none",), 2, "none: no such folder"),
        (("empty",), 2, "empty"),
        (("full", "--codecs", "jpeg,none"), 2, "none"),
        (("full", "--codecs", "jpeg,"), 2, "--codecs"),
        (("full", "--points", "jpeg"), 2, "--points"),
        (("full", "--points", "jpeg=a"), 2, "--points"),
        (("full", "--points", "webp=1"), 2, "no such codec here; there are jpeg"),
        (("full", "--anchor", "webp"), 2, "webp"),
        (("full", "--task", "none"), 2, "none"),
        (("full", "--profile", "machine"), 2, "--profile machine"),
        (("full", "--json", "there.json"), 2, "--force"),
        (("full", "--json", "none/a.json"), 2, "does not exist"),
        (("full", "--csv", "-"), 2, "only --json goes to stdout"),
        (("full", "--plot", "a.gif"), 2, ".png or .svg"),
        (("full", "--json", "a.x", "--csv", "a.x"), 2, "one file"),
        (("full", "--cache", "c", "--no-cache"), 2, "exclude each other"),
        (("full", "--limit", "0"), 2, "--limit"),
        (("full", "--jobs", "0"), 2, "--jobs"),
        (("full", "--cache", "there.json"), 1, "--no-cache"),
    ],
)
def test_errors(
    run: Run, folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    Path("empty").mkdir()
    folder.rename("full")
    Path("there.json").write_text("kept")
    codecs = () if "--codecs" in arguments else ("--codecs", "jpeg")
    result = run("bench", *arguments, *codecs)
    assert result.exit_code == code, result.stderr
    assert len(lines(result)) == 1
    assert message in result.stderr
    assert Path("there.json").read_text() == "kept"
