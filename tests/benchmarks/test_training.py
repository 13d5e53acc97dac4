from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks import training
from icmhcodec.training.recipe import BaseRecipe

CPU = torch.device("cpu")
TINY = BaseRecipe(batch=2, crop=64, channels=(8, 12), workers=0)
TOML = "batch = 2\ncrop = 64\nchannels = [8, 12]\ncompile = false\n"


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(training, "SIDE", 64)
    monkeypatch.setattr(training, "WARM", 0)
    monkeypatch.setattr(training.machine, "keep_memory", lambda: True)


@pytest.mark.parametrize("trick", ["bfloat16", "channels last"])
def test_a_trick_is_off_when_it_says_so(trick, monkeypatch):
    seen = []
    step = training.base.Run.terms

    def terms(run, crops):
        kernel = run.trained.g_a[2].weight
        channels_last = torch.channels_last
        seen.append(
            {
                "bfloat16": run.phase(),
                "channels last": crops.is_contiguous(memory_format=channels_last)
                and kernel.is_contiguous(memory_format=channels_last),
            }
        )
        return step(run, crops)

    monkeypatch.setattr(training.base.Run, "terms", terms)
    recipe = replace(TINY, compile=False)
    row = training.measure(f"without {trick}", recipe, CPU, 0.0)
    assert seen[0] == {name: name != trick for name in seen[0]}
    assert row["dtype"] == ("float32" if trick == "bfloat16" else "bfloat16")
    assert row["steps"] >= 3
    assert row["steps_per_second"] == pytest.approx(1 / row["seconds_per_step"])
    assert row["share_of_matrix_rate"] > 0


def test_environments(monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "5")
    whole = training.environment(training.EVERYTHING)
    assert whole["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "MALLOC_TOP_PAD_" not in whole
    assert training.environment("without passive waiting")["OMP_WAIT_POLICY"] == "ACTIVE"
    assert training.MALLOC.items() <= training.environment(training.BY_ENVIRONMENT).items()
    assert whole["PATH"] == os.environ["PATH"]


def test_the_work_of_a_step_is_counted():
    one = training.step_flops(replace(TINY, batch=1))
    assert training.step_flops(replace(TINY, batch=3)) == 3 * one
    # forward and two products of the same size backward, but for the first layer's input
    macs = 32 * 32 * 75 * 8 + 16 * 16 * 25 * 8 * 8 + 8 * 8 * 25 * 8 * 8 + 4 * 4 * 25 * 8 * 12
    assert one > 2 * 3 * 2 * macs * 0.8


def test_cutting_is_measured():
    row = training.cutting(TINY, 0.0)
    assert row["batches"] >= 3
    assert row["seconds_per_batch"] > 0


def test_the_command_writes_all_configurations(tmp_path, monkeypatch):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TOML)
    monkeypatch.setattr(
        training,
        "in_own_process",
        lambda name, arguments: {"steps_per_second": 1.0 if name.startswith("without") else 2.0},
    )
    output = tmp_path / "training.json"
    arguments = ["--recipe", str(recipe), "--seconds", "0", "--output", str(output)]
    done = CliRunner().invoke(training.main, arguments)
    assert done.exit_code == 0, done.output
    results = json.loads(output.read_text())
    assert results["gains"] == dict.fromkeys(training.TRICKS, 2.0)
    assert set(results["configurations"]) == set(training.CONFIGURATIONS)


def test_a_process_that_fails_is_named(monkeypatch):
    with pytest.raises(training.click.ClickException, match=r"everything: .*none\.toml"):
        training.in_own_process(training.EVERYTHING, ["--recipe", str(Path("none.toml"))])
