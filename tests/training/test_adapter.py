from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from icmhcodec.adapters.sfma import load_stages
from icmhcodec.codecs import registry
from icmhcodec.errors import UsageError
from icmhcodec.masks.predictor import Condition, MaskPredictor
from icmhcodec.training import adapter, loop, losses
from icmhcodec.training.photos import Crops

from .conftest import crops_of

RECIPE = adapter.Recipe(steps=8, batch=2, crop=64, workers=0)


def _features(x: Tensor) -> list[Tensor]:
    return [F.avg_pool2d(x, 4), F.avg_pool2d(x, 8)]


@pytest.fixture
def crops(folder: Path) -> Crops:
    return crops_of(folder)


def _run(recipe: adapter.Recipe = RECIPE) -> adapter.Run:
    return adapter.Run(registry.load("test-tiny"), recipe, _features)


def test_a_run_trains_both_parts_and_exports_them(crops: Crops, tmp_path: Path) -> None:
    run = _run()
    before = {k: v.clone() for k, v in run.trained.state_dict().items()}
    reports: list[loop.Progress] = []
    loop.train(run, crops, tmp_path, reports.append)
    assert run.done == reports[-1].done == 1
    assert run.steps == reports[-1].steps == 8
    assert set(reports[-1].means) == {"loss", "bpp", "distortion", "fill"}
    assert reports[-1].validation is not None
    after = run.trained.state_dict()
    changed = {k.split(".")[0] for k, v in after.items() if not v.equal(before[k])}
    assert changed == {"predictor", "decoder"}
    predictor, bundle = adapter.export(run, "det", "det-3", {"licence": "none"})
    assert predictor.metadata["base_fingerprint"] == run.codec.fingerprint.hex()
    assert bundle.metadata["licence"] == "none"
    stages = load_stages(bundle.tensors, "decoder", 3)
    assert [stage is None for stage in stages] == [False, False, True]
    mean = torch.zeros(run.codec.latent_channels, 4, 4, dtype=torch.int32)
    mask = MaskPredictor(predictor.tensors)(mean, mean.byte() + 30, Condition(0, 1, 64))
    assert mask.shape == mean.shape


def test_the_predictor_learns_alone_at_first(crops: Crops) -> None:
    run = _run()
    before = {k: v.clone() for k, v in run.trained.decoder.state_dict().items()}
    run.step(crops[0])
    assert all(v.equal(before[k]) for k, v in run.trained.decoder.state_dict().items())


def test_the_frozen_codec_is_untouched_by_training(crops: Crops) -> None:
    run = _run()
    x = torch.rand(1, 3, 64, 64)
    y = run.codec.analysis(x)
    picture = run.codec.synthesis(y)
    run.done = 0.5
    for step in range(3):
        run.step(crops[step])
    assert torch.equal(run.codec.analysis(x), y)
    assert torch.equal(run.codec.synthesis(y), picture)
    adapted = run.codec.synthesis(y, run.trained.adapters())
    assert not torch.equal(adapted, picture)
    assert torch.equal(run.codec.synthesis(y), picture)


@pytest.mark.parametrize("stop", [1, 6])
def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(
    crops: Crops, tmp_path: Path, stop: int
) -> None:
    whole, part, rest = (_run() for _ in range(3))
    loop.train(whole, crops, tmp_path)
    loop.train(part, crops, tmp_path, stopped=lambda: part.steps == stop)
    rest.load(tmp_path / loop.STATE)
    assert rest.steps == stop
    loop.train(rest, crops, tmp_path)
    own, other = (run.trained.state_dict() for run in (rest, whole))
    assert all(own[name].equal(other[name]) for name in other)


def test_a_state_of_another_codec_is_refused(tmp_path: Path) -> None:
    run, path = _run(), tmp_path / loop.STATE
    run.save(path)
    state = torch.load(path, weights_only=True)
    torch.save({**state, "base": "00" * 8}, path)
    with pytest.raises(UsageError, match="of another base, 0000"):
        run.load(path)


def test_photos_of_bundles_stay_upright() -> None:
    assert RECIPE.mirror
    assert not RECIPE.turn
    assert replace(RECIPE, steps=0).rate(0.2) == 1


def test_lambda_rises_with_level_and_quality() -> None:
    levels, zero = torch.arange(1, 5), torch.zeros(4)
    rising = losses.task_lambda(levels, zero)
    assert (rising.diff() > 0).all()
    assert (losses.task_lambda(levels, zero + 5) > rising).all()


def test_a_distortion_is_relative_to_the_originals() -> None:
    original = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    decoded = [o * 1.1 for o in original]
    assert torch.allclose(losses.feature_distortion(original, original), torch.zeros(2))
    once = losses.feature_distortion(decoded, original)
    scaled = losses.feature_distortion([d * 7 for d in decoded], [o * 7 for o in original])
    assert torch.allclose(once, scaled)
    assert torch.allclose(once.mean(), torch.tensor(0.01), rtol=1e-4)
