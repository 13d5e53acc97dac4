from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks import quality_scale


def test_the_scale_has_both_ends():
    assert quality_scale.scale(4.5) == [0.0, 4.5, 9.0]


def test_falls_and_stalls():
    assert quality_scale.falls([1.0, 2.0, 2.0, 1.5, 3.0]) == 1
    assert quality_scale.stalls([1.0, 2.0, 2.0, 1.5, 3.0]) == 2


def test_a_run_on_small_pictures(photos, tmp_path):
    pytest.importorskip("matplotlib")
    output, plot = tmp_path / "scale.json", tmp_path / "scale.png"
    arguments = ["--kodak", photos, "--output", output, "--plot", plot, "--base", "test-tiny"]
    arguments += ["--step", "3", "--limit", "2"]
    result = CliRunner().invoke(quality_scale.main, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    results = json.loads(output.read_text())
    assert results["qualities"] == [0.0, 3.0, 6.0, 9.0]
    assert len(results["pictures"]) == 2
    assert results["bpp"] == sorted(results["bpp"])
    assert results["bits_stall"] == 0
    assert plot.read_bytes()[:4] == b"\x89PNG"
