from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import common, exactness, video_cases, video_exactness
from benchmarks import video_exactness_worker as worker
from benchmarks.exactness_worker import PLAINEST, Setting, decode_record, shown_pixels
from benchmarks.video_cases import Clip
from benchmarks.video_exactness import CONTROL, ClipBench

OTHER = Setting(1, "no oneDNN", "bfloat16", "channels-last")
GOP = 3


@pytest.fixture
def bench(photos, tmp_path, monkeypatch):
    """Two settings, five frames; jobs run in this process."""
    video_cases.add_random_codec()
    enabled = torch.backends.mkldnn.enabled
    monkeypatch.setattr(exactness, "spawn", worker.run)
    clip = np.stack(list(video_cases.frames(Clip(64, 48, 0.2), common.pictures(photos))))
    np.save(tmp_path / "clip.npy", clip)
    choices = {
        "clip": str(tmp_path / "clip.npy"), "base": video_cases.BASE, "inter": "tiny-dvc-0",
        "gop": GOP, "tasks": (video_cases.TASK,), "qualities": (6.0,),
    }  # fmt: skip
    yield ClipBench(tmp_path / "work", [PLAINEST, OTHER], choices)
    torch.backends.mkldnn.enabled = enabled


def test_symbols_are_the_same_and_drift_is_bounded(bench):
    bench.controls = []
    found = video_exactness.run(bench, 1)
    assert [row["mismatches"] for row in found["rows"]] == [0, 0]
    assert [row["files"] for row in found["rows"]] == [2, 2]
    assert (found["exact"], found["bounded"], found["distinct_files"]) == (True, True, 2)
    plain, other = sorted(found["rows"], key=lambda row: row["setting"] != PLAINEST.name)
    assert plain["drift"]["share"] == 0
    assert 0 < max(other["drift"]["mse_by_place"]) < 4
    assert len(other["drift"]["mse_by_place"]) == GOP
    assert exactness.table(found).row_count == 2
    # A symbol elsewhere and a picture elsewhere are found.
    path = decode_record(bench.work, OTHER.slug)
    record = json.loads(path.read_text())
    record["files"] = dict.fromkeys(record["files"], "error: damaged")
    path.write_text(json.dumps(record))
    (shown,) = shown_pixels(bench.work, OTHER.slug, "").parent.glob("*.npy")
    np.save(shown, 255 - np.load(shown))
    again = video_exactness.summary(bench)
    assert (again["exact"], again["bounded"]) == (False, False)


def test_hyper_decoders_in_coarser_floats_are_found(bench):
    coarse = replace(CONTROL, h_s="bfloat16")
    assert bench.controls == [(CONTROL, [coarse])]
    jobs = [bench.job("encode", CONTROL), bench.job("decode", coarse, [CONTROL.slug])]
    for job in jobs:
        assert worker.Job.from_json(job.to_json()) == job
        worker.run(job)
    found = exactness.mismatches(bench.work, [CONTROL.slug], coarse.slug)
    assert found == {"files": 1, "mismatches": 1}


def test_settings_change_one_thing_at_a_time():
    settings = [s for s in video_exactness.settings_here() if s.device == "cpu"]
    assert PLAINEST in settings
    assert len(settings) == len({s.slug for s in settings}) == 10
    assert {s.precision for s in settings} == {"float32", "bfloat16"}


def test_places_are_those_in_a_group():
    first = np.zeros((5, 2, 2, 3), np.uint8)
    second = first + np.arange(5, dtype=np.uint8)[:, None, None, None]
    found = video_exactness.by_place(first, second, 2)
    assert found == pytest.approx([(0 + 4 + 16) / 3, (1 + 9) / 2])
    assert len(video_exactness.by_place(first, second, 9)) == 5


def test_the_command_line(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(exactness, "spawn", worker.run)
    monkeypatch.setattr(video_exactness, "ClipBench", _without_controls)
    out = tmp_path / "exactness.json"
    arguments = ["--kodak", photos, "--output", out, "--work", tmp_path / "work", "--size", 64, 48]
    arguments += ["--frames", 2, "--only", PLAINEST.name, "--quality", 4, "--workers", 1]
    result = CliRunner().invoke(video_exactness.main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert (found["exact"], len(found["rows"])) == (True, 1)
    assert found["settings"]["frames"] == 2


def _without_controls(*arguments):
    bench = ClipBench(*arguments)
    bench.controls = []
    return bench
