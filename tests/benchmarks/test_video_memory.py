from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from benchmarks import video_memory
from benchmarks.video_cases import Clip


def test_a_peak_is_that_of_the_command(tmp_path):
    with pytest.raises(click.ClickException, match=r"none\.icm: no such file"):
        video_memory.peak(["decode", "none.icm"], tmp_path, 1)
    assert 5 << 20 < int((tmp_path / "peak").read_text()) * 1024 < 1 << 30


def test_growth_is_a_share_and_frames():
    clips = [Clip(10, 10, 1), Clip(10, 10, 2)]
    peaks = [{"encode": 1000, "decode": 1000}, {"encode": 1000 + 25 * 300, "decode": 1000}]
    found = video_memory.growth(peaks, clips)
    assert found["encode"] == {"share": 7.5, "frames_held_per_frame": 1.0}
    assert found["decode"]["share"] == 0


@pytest.mark.parametrize(("held", "within"), [(900, True), (1100, False)])
def test_results(photos, tmp_path, monkeypatch, held, within):
    asked = []

    def peak(arguments, folder, threads):
        asked.append(arguments[:2])
        return 10_000 + held * ("1.mp4" in arguments[1])

    monkeypatch.setattr(video_memory, "peak", peak)
    out = tmp_path / "memory.json"
    arguments = ["--size", "64", "48", "--seconds", "0.08", "0.16", "--kodak", str(photos)]
    result = CliRunner().invoke(video_memory.main, [*arguments, "--output", str(out)])
    found = json.loads(out.read_text())
    assert (result.exit_code, found["within"]) == (1 - within, within)
    assert found["frames"] == [2, 4]
    assert len(asked) == 6
