import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image

from icmhcodec.training import journal
from icmhcodec.training.journal import CURVES, METRICS, Journal
from icmhcodec.training.loop import Point, Progress, Validation

CURVE = (Point(0.0, 0.2, 27.0), Point(9.0, 1.9, 38.0))


def _progress(steps: int, validated: bool = False) -> Progress:
    means = {"loss": 1.0 / (steps + 1), "bpp": 0.5, "psnr": 30.0} if steps else {}
    validation = Validation(1.2, CURVE) if validated else None
    return Progress(steps / 10, steps, 2.0 * steps, 9.0, 0.5, means, validation)


def test_every_report_is_a_line_and_validations_draw(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    log = Journal(tmp_path)
    log.note(_progress(0, True))
    assert (tmp_path / CURVES).exists()
    (tmp_path / CURVES).unlink()
    log.note(_progress(3))
    assert not (tmp_path / CURVES).exists()
    log.note(_progress(5, True))
    with Image.open(tmp_path / CURVES) as image:
        assert image.format == "PNG"
    rows = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [row["steps"] for row in rows] == [0, 3, 5]
    assert rows[2]["validation"]["curve"][1] == {"quality": 9.0, "bpp": 1.9, "psnr": 38.0}
    assert "validation" not in rows[1]
    assert "means" not in rows[0]


def test_lines_after_the_state_are_dropped(tmp_path: Path) -> None:
    log = Journal(tmp_path)
    for steps in (2, 4, 6):
        log.note(_progress(steps))
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"steps": 7, "do')  # cut off
    assert [row["steps"] for row in Journal(tmp_path, 4).rows] == [2, 4]
    assert [row["steps"] for row in journal.read(tmp_path)] == [2, 4]
    assert Journal(tmp_path, 0).rows == []


def test_what_is_not_installed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    log = Journal(tmp_path)
    log.note(_progress(1, True))
    assert [path.name for path in tmp_path.iterdir()] == [METRICS]
    assert "matplotlib" in log.missing[0]


def test_tensorboard_gets_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, float] = {}

    class Board:
        def add_scalar(self, name: str, value: float, step: int) -> None:
            assert step == 3
            written[name] = value

        def flush(self) -> None:
            written["flushed"] = 1

    log = Journal(tmp_path, decibels="features")
    log.board = Board()
    log.note(_progress(3, True))
    assert written["train/psnr"] == 30
    assert written["held_out/features_q9"] == 38
    assert written["held_out/loss"] == 1.2
    assert written["flushed"]
