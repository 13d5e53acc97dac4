"""`icmh bench` as a whole on folders of clips."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from icmhcodec.bench.clips import ffmpeg

from ..bench.clips import moving
from ..tasks.test_described import graph, mean_colour
from .conftest import Run, lines

CODECS = ("--codecs", "x264,x265:zerolatency,all-intra:test-tiny")
POINTS = ("--points", "x264=8,20,32;x265:zerolatency=8,20,32;all-intra:test-tiny=4")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICMH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    moving.samples(tmp_path / "clips")
    return tmp_path / "clips"


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


def test_every_report_is_written(run: Run, folder: Path) -> None:
    files = ["--json", "a.json", "--csv", "a.csv", "--html", "a.html", "--plot", "a.svg"]
    result = run("bench", folder, *CODECS, *POINTS, *files, "--resamples", 10)
    assert result.exit_code == 0, result.stderr
    assert "2 clips, 11 frames" in result.stdout
    assert "fps" in result.stdout
    report = read("a.json")
    assert report["dataset"]["layout"] == "clips"
    assert report["fingerprints"]["x264/plain"]["settings"].startswith("crf=CRF g=12 ")
    [rate] = [one for one in report["bd"] if one["curve"] == "x265:zerolatency/plain/human"]
    assert (rate["anchor"], rate["metric"]) == ("x264/plain/human", "psnr")
    assert rate["bd_rate_percent"] is not None
    rows = list(csv.DictReader(Path("a.csv").read_text().splitlines()))
    assert len(rows) == 1 + 3 + 3 + 1
    assert float(rows[1]["encode_fps"]) > 0
    page = Path("a.html").read_text()
    assert "2 clips, 11 frames" in page
    assert "encode, frames/s" in page
    assert "picture" not in page.split("<h2>How to read this</h2>")[0]


def test_sizes_are_those_of_the_streams(run: Run, folder: Path, tmp_path: Path) -> None:
    arguments = ("--codecs", "x264", "--points", "x264=20", "--frames", 4, "--gop", 2)
    result = run("bench", folder, *arguments, "--limit", 1, "--json", "a.json")
    assert result.exit_code == 0, result.stderr
    report = read("a.json")
    assert (report["dataset"]["clips"], report["dataset"]["images"]) == (1, 4)
    sizes = []
    for seed in range(2):
        shown = moving.frames(4, seed=seed)
        ffmpeg.FfmpegCodec("x264", 2).encode(shown, moving.info(), 20.0, tmp_path / "coded")
        sizes.append((tmp_path / "coded").stat().st_size)
    assert report["rows"][1]["bytes"] in sizes
    assert report["rows"][1]["bpp"] == 8 * report["rows"][1]["bytes"] / (4 * 64 * 48)


def test_a_second_run_makes_no_codec_call(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("bench", folder, "--codecs", "x264", "--points", "x264=20")
    assert run(*arguments, "--json", "a.json").exit_code == 0
    monkeypatch.setattr(ffmpeg.FfmpegCodec, "encode", lambda *_: 1 / 0)
    assert run(*arguments, "--json", "b.json").exit_code == 0
    assert {**read("a.json"), "command": ""} == {**read("b.json"), "command": ""}
    assert run(*arguments, "--no-cache").exit_code == 1


def test_agreement_of_a_network(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Network(moving.Brightness):
        side = 32

        def to(self, device: str) -> Network:
            return self

    monkeypatch.setattr("icmhcodec.bench.engine.load_network", lambda name: Network())
    arguments = ("--codecs", "x264", "--points", "x264=8,32", "--task", "det")
    result = run("bench", folder, *arguments, "--json", "a.json")
    assert result.exit_code == 0, result.stderr
    report = read("a.json")
    assert report["network"]["id"] == "brightness"
    found = [row["metrics"]["agreement"] for row in report["rows"]]
    assert found[0] == 100 > found[2] > 90
    assert "agreement" in result.stdout


def test_without_named_codecs_all_that_are_here(run: Run, folder: Path) -> None:
    result = run("bench", folder, "--frames", 1, "--points", "icmh=1")
    assert result.exit_code == 2  # none that codes P frames is here
    assert lines(result) == [
        "icmh: --points icmh: no such codec here; there are x264, x265, svt-av1, all-intra"
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("clips", "--codecs", "jpeg"), 2, "not known for clips; known are x264"),
        (("clips", "--codecs", "icmh"), 4, "no video codec is here"),
        (("pictures", "--codecs", "jpeg", "--frames", 2), 2, "--frames: there are no clips in"),
        (("pictures", "--codecs", "jpeg", "--gop", 2), 2, "--gop: there are no clips in"),
        (("clips", "--codecs", "x264", "--gop", 0), 2, "--gop"),
    ],
)
def test_errors(
    run: Run, folder: Path, arguments: tuple[Any, ...], code: int, message: str
) -> None:
    moving.write_folder(folder.parent / "pictures", moving.frames(2))
    result = run("bench", *arguments)
    assert (result.exit_code, len(lines(result))) == (code, 1)
    assert message in result.stderr


def test_classes_of_clips_by_a_users_network(run: Run, folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    for number, name in enumerate(("Archery", "Biking")):
        (folder / name).mkdir()
        (folder / f"{number}.mkv").rename(folder / name / "v.mkv")
    Path("my.onnx").write_bytes(mean_colour())
    text = 'file = "my.onnx"\ntask = "cls"\n[input]\nsize = 32\n[output]\nclasses = [1, 0, 2]\n'
    Path("my.toml").write_text(text)
    arguments = ("--codecs", "x264", "--points", "x264=32", "--network", "my.toml")
    result = run("bench", folder, *arguments, "--json", "a.json")
    assert result.exit_code == 0, result.stderr
    assert "classes 0 to 1 in the order of their names" in result.stderr
    report = read("a.json")
    assert report["dataset"]["layout"] == "ucf101"
    # Of both clips the mean colour is a little more green than red, which is right of one.
    assert [row["metrics"]["top1"] for row in report["rows"]] == [50, 50]
    assert report["rows"][1]["metrics"]["agreement"] == 100


def test_masks_of_davis_by_a_users_network(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    shown = moving.frames(3)
    moving.write_folder(tmp_path / "davis" / "JPEGImages" / "480p" / "wave", shown)
    masks = tmp_path / "davis" / "Annotations" / "480p" / "wave"
    masks.mkdir(parents=True)
    for number, pixels in enumerate(shown):
        redder = pixels[..., 0] > pixels[..., 1]
        Image.fromarray(redder.astype(np.uint8)).save(masks / f"{number:05}.png")
    Path("my.onnx").write_bytes(
        graph([("Gather", ["x", "order"], "y", {"axis": 1})], ["y"], order=np.array([1, 0]))
    )
    text = 'file = "my.onnx"\ntask = "seg"\n[input]\nsize = [48, 64]\nresize = "stretch"\n'
    Path("my.toml").write_text(text + "[output]\nclasses = [0, 1]\n")
    arguments = ("--codecs", "x264", "--points", "x264=4,40", "--network", "my.toml")
    result = run("bench", tmp_path / "davis", *arguments, "--json", "a.json")
    assert result.exit_code == 0, result.stderr
    original, coarse, fine = (row["metrics"] for row in read("a.json")["rows"])
    assert (original["J"], original["F"], original["agreement"]) == (100, 100, 100)
    assert coarse["J&F"] < fine["J&F"] < 100
    assert "J&F" in result.stdout
