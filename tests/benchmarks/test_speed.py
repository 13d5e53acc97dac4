from __future__ import annotations

import pytest
import torch

from benchmarks import common, speed
from benchmarks.cases import Case
from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from tests.benchmarks.conftest import picture
from tests.pipeline.conftest import random_bundle

TINY = "test-tiny"


def track(items, _):
    return items


@pytest.fixture
def pixels():
    return [picture(64, 128, seed) for seed in range(2)]


@pytest.mark.parametrize(("side", "least"), [(speed.REFERENCE, 40), ("bfloat16", 25)])
def test_all_sides_decode_to_nearly_the_same_picture(side, least, pixels):
    own, other = (speed.load(name, TINY, 8.0) for name in ("float32", side))
    first, second = (each.decode(each.encode(pixels[0])) for each in (own, other))
    assert first.shape == second.shape == pixels[0].shape
    assert common.psnr(first, second) > least


def test_pairs_and_stages(pixels):
    rows = speed.pairs(TINY, 4.0, pixels, track)
    assert [(r["precision"], r["operation"]) for r in rows] == [
        (p, o) for p in speed.PRECISIONS for o in speed.OPERATIONS
    ]
    assert all(row["seconds"] > 0 and row["ratio"] > 0 for row in rows)
    stages = speed.stages(TINY, 4.0, pixels, track)
    names = ["analysis", "hyper-analysis", "entropy parameters", "coding", "decoding", "synthesis"]
    assert set(stages) == {speed.REFERENCE, *speed.PRECISIONS}
    assert all(list(parts) == names for parts in stages.values())


def test_a_ratio_is_the_median_of_pairs():
    times = {"float32 encode": [1.0, 2.0, 9.0], f"{speed.REFERENCE} encode": [2.0, 2.0, 3.0]}
    row = speed._pair_row(4.0, "float32", "encode", times)
    assert (row["seconds"], row["reference_seconds"], row["ratio"]) == (2, 2, 1)


def test_memory_is_that_of_the_process_which_codes(pixels):
    ballast = torch.zeros(2**28)  # a gigabyte that is only here
    rows = speed.memory(TINY, 4.0, pixels[:1], ["float32"])
    assert [(row["side"], row["operation"]) for row in rows] == [
        ("float32", operation) for operation in speed.OPERATIONS
    ]
    for row in rows:
        assert 50 < row["loaded_mib"] <= row["peak_mib"] < ballast.nbytes / 2**20


def test_whole_processes(pixels, monkeypatch):
    run, spawn = [], speed._spawn

    def once(arguments, folder):
        if arguments not in run:
            spawn(arguments, folder)
        run.append(arguments)

    monkeypatch.setattr(speed, "_spawn", once)
    results = speed.whole_processes(TINY, pixels[0], "det", 1, track)
    assert len(run) == 2 * len(results["seconds"])
    assert set(results["seconds"]) == {"import torch", "decode", "--help", "info", "split", "join"}


def test_the_loss_of_bfloat16(pixels):
    (row,) = speed.precision_loss(TINY, [4.0], pixels, track)
    assert abs(row["psnr_loss"]) <= row["psnr_loss_worst"] + 1
    assert row["psnr_loss"] < 1


def test_tasks_are_timed_beside_people_and_predictors_beside_h_s(pixels, tmp_path):
    for seed, profile in enumerate(("scalable", "machine")):
        for file in random_bundle("det", seed, profile):
            modelfile.write(tmp_path / "bundle", file)
            bundles.add(tmp_path / "bundle")
    scalable, machine = speed.task_decodes([TINY], 4.0, pixels, track)
    assert (scalable["profile"], machine["profile"]) == ("scalable", "machine")
    for row in (scalable, machine):
        assert row["bundle"] == "det-7"
        assert row["task_to_human"] > 0
        assert row["task_seconds"] > 0
    assert scalable["predictor_to_h_s"] > 0
    assert "predictor_to_h_s" not in machine


def test_the_ratio_of_a_task_is_that_of_pairs():
    times = {"task": [1.0, 4.0, 9.0], "human": [1.0, 2.0, 3.0], "predictor": []}
    row = speed._task_row(Case(TINY, ("det-7",)), 4.0, times)
    assert row["task_to_human"] == 2
    assert (row["task_seconds"], row["human_seconds"]) == (4, 2)
