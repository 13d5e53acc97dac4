from dataclasses import replace
from pathlib import Path

import pytest
import torch

from icmhcodec.errors import UsageError
from icmhcodec.training import base, loop

from .conftest import TINY, crops_of, record, tiny_run


@pytest.mark.parametrize(("optimiser", "rate"), [("muon", 1e-3), ("soap", 1e-3), ("adam", 1e-4)])
def test_every_optimiser_lowers_the_held_out_loss(
    folder: Path, optimiser: str, rate: float
) -> None:
    run = tiny_run(replace(TINY, optimiser=optimiser, kernel_rate=rate, average=0.5))
    reports: list[loop.Progress] = []
    loop.train(run, crops_of(folder), folder.parent, reports.append)
    first, last = (reports[k].validation for k in (0, -1))
    assert first is not None
    assert last is not None
    assert last.loss < 0.95 * first.loss
    assert [point.quality for point in last.curve] == [0, 3, 6, 9]


def test_a_fresh_network_trains_at_all_rates(folder: Path) -> None:
    run = base.Run(TINY, torch.device("cpu"))
    before = {k: v.clone() for k, v in run.trained.state_dict().items()}
    crops = crops_of(folder)
    means = [run.step(crops[step]) for step in range(3)]
    assert means[0]["psnr"] > 0
    changed = {k for k, v in run.trained.state_dict().items() if not v.equal(before[k])}
    kernels = {k for k in before if k.endswith("weight")}
    assert changed >= kernels | {"gain", "igain", "eb.m.0", "eb.b.4", "eb.tails"}


@pytest.mark.parametrize("bfloat16", [True, False])
def test_a_resumed_run_goes_on_bit_for_bit(folder: Path, tmp_path: Path, bfloat16: bool) -> None:
    recipe = replace(TINY, bfloat16=bfloat16, float32_share=0.3, optimiser="soap")
    crops = crops_of(folder, recipe)
    whole, part, rest = (tiny_run(recipe) for _ in range(3))
    straight, first, second = (record(run) for run in (whole, part, rest))
    loop.train(whole, crops, tmp_path)
    loop.train(part, crops, tmp_path, stopped=lambda: part.steps == 3)
    assert part.done == 3 / 8
    torch.rand(5)  # nothing of the process's own random state matters
    rest.load(tmp_path / loop.STATE)
    loop.train(rest, crops, tmp_path)
    assert first + second == straight
    own, other = (run.average.state_dict() for run in (rest, whole))
    assert all(own[name].equal(other[name]) for name in other)


def test_the_end_is_in_float32(folder: Path) -> None:
    run = tiny_run(replace(TINY, float32_share=0.25))
    phases = []
    for done in (0.0, 0.74, 0.76):
        run.done = done
        phases.append(run.phase())
    assert phases == [True, True, False]


def test_weights_are_those_of_the_lambdas_and_one_in_the_mean() -> None:
    run = tiny_run(replace(TINY, weight_power=1.0))
    quality = torch.linspace(0, 9, 10)
    weights = run.weights(quality)
    assert torch.allclose(weights.mean(), torch.tensor(1.0))
    assert torch.allclose(weights * run.lambdas(quality), weights[0] * run.lambdas(quality)[0])
    assert torch.allclose(run.lambdas(quality)[[0, -1]], torch.tensor([0.0009, 0.18]))


def test_gradients_that_are_not_finite_change_nothing(folder: Path) -> None:
    run = tiny_run()
    with torch.no_grad():
        run.trained.g_s[6].bias.fill_(torch.nan)
    before = {k: v.clone() for k, v in run.trained.named_parameters()}
    run.step(crops_of(folder)[0])
    assert all(torch.equal(v.nan_to_num(), before[k].nan_to_num())
               for k, v in run.trained.named_parameters())  # fmt: skip


def test_validation_of_pictures_is_that_of_their_crops(folder: Path) -> None:
    run, crops = tiny_run(), crops_of(folder).held_out(16)
    assert run.validate(crops) == run.validate_pictures(crop[None] for crop in crops)


def test_a_batch_parts_into_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base.processes, "count", lambda: 3)
    with pytest.raises(UsageError, match="a batch of 2 does not part into 3"):
        tiny_run()
