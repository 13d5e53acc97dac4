from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icmhcodec.cli.train import live
from icmhcodec.codecs import registry
from icmhcodec.training.loop import Point, Progress, Validation

from .conftest import Run, lines

BASE = ("train", "base", "photos", "-o", "out")
TINY = str(registry.WEIGHTS / "test-tiny.safetensors")
RECIPE = """
steps = 8
batch = 2
crop = 64
workers = 0
compile = false
kernel_rate = 1e-3
average = 0.5
skip = 2
"""


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr("icmhcodec.training.machine.keep_memory", lambda: True)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("train", "base", "none", "-o", "out"), 2, "none: no such folder"),
        ((*BASE, "--recipe", "fast"), 2, "recipe fast: the package has cpu, gpu"),
        ((*BASE, "--init", "none"), 2, "none: no such file"),
        ((*BASE, "--init", "text"), 3, "text: not a readable safetensors file"),
        ((*BASE, "--device", "abacus"), 2, "device 'abacus'"),
        ((*BASE, "--validate", "none"), 2, "none: no such folder"),
        ((*BASE, "--validate", "photos"), 2, "photos: no pictures to measure on"),
        ((*BASE, "-o", "begun"), 3, "begun/state.pt: not a readable state"),
        (("train", "export", "none", "--id", "x-0", "-o", "x"), 2, "no such file"),
        (("train", "export", "photos", "--id", "x-0", "-o", "x"), 2, "photos/state.pt"),
        (("train", "export", "text", "--id", "x-0", "-o", "x"), 3, "safetensors"),
        (("train", "export", "text", "--id", "x-0", "-o", "text"), 2, "the input itself"),
    ],
)
def test_errors(run: Run, arguments: tuple[str, ...], code: int, message: str) -> None:
    Path("text").write_text("text")
    Path("photos").mkdir()
    Path("begun").mkdir()
    Path("begun/state.pt").touch()
    result = run(*arguments)
    assert result.exit_code == code, result.stderr
    assert len(lines(result)) == 1
    assert message in result.stderr
    assert not Path("out").exists()


def _photos() -> None:
    random = np.random.default_rng(0)
    Path("photos/more").mkdir(parents=True)
    for k in range(6):
        coarse = random.integers(0, 255, (9, 10, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((100, 90)).save(f"photos/{'more/' * (k % 2)}{k}.png")


@pytest.mark.packaged  # `models verify` looks at bundles of the video codec, too
def test_trained_stopped_resumed_exported_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from icmhcodec.training import base

    _photos()
    Path("tiny.toml").write_text(RECIPE)
    step = base.Run.step

    def interrupted(self: base.Run, crops: object) -> object:
        if self.steps == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, crops)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(base.Run, "step", interrupted)
        stopped = run(*BASE, "--recipe", "tiny.toml", "--init", TINY)
    assert stopped.exit_code == 130, stopped.stderr
    assert lines(stopped)[-1] == "icmh: stopped at 38%, out/state.pt is saved to go on from"
    other = run(*BASE, "--recipe", "cpu")
    assert other.exit_code == 2
    assert "out holds a run of another recipe" in other.stderr
    assert "holds a run from test-tiny.safetensors" in run(*BASE, "--init", "tiny.toml").stderr
    resumed = run(*BASE, "--recipe", "tiny.toml", "--init", TINY, "--validate", "photos")
    assert resumed.exit_code == 0, resumed.stderr
    assert "going on on 5 photos, 1 held out" in resumed.stderr
    assert {"curves.png", "metrics.jsonl", "state.pt"} < {p.name for p in Path("out").iterdir()}
    ended = run(*BASE)
    assert ended.exit_code == 2
    assert "its schedule has ended" in ended.stderr

    rows = [json.loads(line) for line in Path("out/metrics.jsonl").read_text().splitlines()]
    losses = [row["validation"]["loss"] for row in rows if "validation" in row]
    assert losses[-1] < 0.95 * losses[0]

    exported = run(
        "train", "export", "out", "--id", "mine-0", "-o", "mine", "--kodak", "photos",
        "--licence", "none",
    )  # fmt: skip
    assert exported.exit_code == 0, exported.stderr
    assert len(exported.stdout.splitlines()) == 12
    added = run("models", "add", "mine")
    assert added.exit_code == 0, added.stderr
    shown = json.loads(run("models", "show", "mine-0", "--json").stdout)
    assert shown["steps"] == "8"
    assert shown["default_skip"] == "2"
    assert shown["data"] == "photos: 5 photos, 1 held out"
    assert shown["init"] == "test-tiny.safetensors"
    assert shown["licence"] == "none"
    assert [point["quality"] for point in json.loads(shown["curve"])] == list(range(10))
    encoded = run("encode", "photos/0.png", "--base", "mine-0", "-o", "a.icm")
    assert encoded.exit_code == 0, encoded.stderr
    decoded = run("decode", "a.icm", "-o", "a.png")
    assert decoded.exit_code == 0, decoded.stderr
    with Image.open("a.png") as image:
        assert image.size == (100, 90)
    assert run("models", "verify").exit_code == 0
    again = run("models", "remove", "mine-0")
    assert again.exit_code == 0
    assert run("decode", "a.icm", "-o", "b.png").exit_code == 4


def test_the_run_has_a_folder_by_default_and_goes_on_in_it(run: Run) -> None:
    _photos()
    Path("tiny.toml").write_text(RECIPE.replace("steps = 8", "steps = 1"))
    first = run(*BASE[:3], "--recipe", "tiny.toml", "--init", "test-tiny")
    assert first.exit_code == 0, first.stderr
    assert lines(first)[0].startswith("icmh: photos-base: the run's folder")
    assert Path("photos-base/state.pt").exists()
    again = run(*BASE[:3])
    assert again.exit_code == 2
    assert "photos-base: its schedule has ended" in again.stderr


def test_nothing_is_exported_where_there_is_nothing_to_measure_on(run: Run) -> None:
    Path("empty").mkdir()
    result = run("train", "export", TINY, "--id", "x-0", "-o", "x", "--kodak", "empty")
    assert result.exit_code == 2
    assert lines(result) == ["icmh: empty: no pictures to measure on"]
    assert not Path("x").exists()


def test_a_codec_of_a_name_that_is_taken_is_not_added(run: Run) -> None:
    result = run("models", "add", TINY)
    assert result.exit_code == 2
    assert "test-tiny: a codec of that id is here" in result.stderr


@pytest.mark.packaged
def test_a_latent_is_widened(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from icmhcodec.training import widen

    monkeypatch.setattr(widen, "_teach_synthesis", lambda *_: None)
    _photos()
    Path("tiny.toml").write_text(RECIPE.replace("steps = 8", "steps = 2"))
    alone = run(*BASE, "--recipe", "tiny.toml", "--widen", "16")
    assert alone.exit_code == 2
    assert "--widen: name the weights" in alone.stderr
    start = (*BASE, "--recipe", "tiny.toml", "--init", TINY, "--widen")
    narrow = run(*start, "12")
    assert narrow.exit_code == 2
    assert "its latent has 12 channels" in narrow.stderr
    assert run(*start, "16").exit_code == 0
    other = run(*start, "20")
    assert other.exit_code == 2
    assert "out holds a run of 16 channels" in other.stderr
    assert "its schedule has ended" in run(*start, "16").stderr  # what was stored is read again
    assert run("train", "export", "out", "--id", "wide-0", "-o", "wide").exit_code == 0
    assert run("models", "add", "wide").exit_code == 0
    shown = json.loads(run("models", "show", "wide-0", "--json").stdout)
    assert shown["init"] == "test-tiny.safetensors, its latent widened to 16 channels"
    assert run("encode", "photos/0.png", "--base", "wide-0", "-o", "a.icm").exit_code == 0
    assert run("decode", "a.icm", "-o", "a.png").exit_code == 0


@pytest.mark.parametrize("terminal", [True, False])
def test_the_view_shows_figures_validation_and_time_left(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "200")
    means = {"loss": 0.5, "bpp": 0.345, "fill": 0.4}
    validation = Validation(0.9, (Point(3.0, 0.21, 31.5),))
    with live.view() as report:
        report(Progress(0.25, 12, 30.0, 90.0, 0.4, means, validation))
        report(Progress(0.30, 14, 35.0, 80.0, 0.4, means))
    said = capsys.readouterr().err
    figures = ("30", "step 12", "0.40 steps/s", "0.345 bpp", "loss 0.5000", "fill 40%")
    for part in (*figures, "1.3 min left", "0.9000", "0.210", "31.50"):
        assert part in said, part


def test_long_times_are_hours() -> None:
    assert live.line(Progress(0, 0, 0, 9 * 3600.0, 0, {})).endswith("9.0 h left")


def test_the_first_interrupt_lets_a_step_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    with live.stop_on_interrupt() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
