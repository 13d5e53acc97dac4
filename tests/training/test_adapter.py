from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from icmhcodec.adapters.sfma import load_stages
from icmhcodec.codecs import registry
from icmhcodec.errors import UsageError
from icmhcodec.masks.predictor import Condition, MaskPredictor
from icmhcodec.training import adapter, losses, photos

RECIPE = adapter.Recipe(minutes=0.05, batch=2, crop=64)


def _features(x: Tensor) -> list[Tensor]:
    return [F.avg_pool2d(x, 4), F.avg_pool2d(x, 8)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for k in range(photos.HELD_OUT):
        coarse = random.integers(0, 255, (9, 10, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((100, 90)).save(tmp_path / f"photos/{k:02}.png")
    Image.fromarray(coarse).save(tmp_path / "photos/small.png")
    return tmp_path


def _run(recipe: adapter.Recipe = RECIPE) -> adapter.Run:
    return adapter.Run(registry.load("test-tiny"), recipe)


def test_a_run_trains_both_parts_and_exports_them(folder: Path) -> None:
    run = _run()
    before = {k: v.clone() for k, v in run.trained.state_dict().items()}
    reports: list[adapter.Progress] = []
    adapter.train(run, _features, folder / "photos", folder / "state.pt", reports.append)
    assert run.done == 1
    assert reports[-1].done == 1
    assert run.steps == reports[-1].steps > 4
    changed = {
        k.split(".")[0] for k, v in run.trained.state_dict().items() if not v.equal(before[k])
    }
    assert changed == {"predictor", "decoder"}
    predictor, bundle = adapter.export(run, "det", "det-3", {"licence": "none"})
    assert predictor.metadata["base_fingerprint"] == run.codec.fingerprint.hex()
    assert bundle.metadata["licence"] == "none"
    stages = load_stages(bundle.tensors, "decoder", 3)
    assert [stage is None for stage in stages] == [False, False, True]
    mean = torch.zeros(run.codec.latent_channels, 4, 4, dtype=torch.int32)
    mask = MaskPredictor(predictor.tensors)(mean, mean.byte() + 30, Condition(0, 1, 64))
    assert mask.shape == mean.shape


def test_the_frozen_codec_is_untouched_by_training(folder: Path) -> None:
    run = _run()
    x = torch.rand(1, 3, 64, 64)
    y = run.codec.analysis(x)
    picture = run.codec.synthesis(y)
    run.done = 0.5
    training, _ = photos.find_photos(folder / "photos", 64)
    for _ in range(3):
        run.step(_features, training)
    assert torch.equal(run.codec.analysis(x), y)
    assert torch.equal(run.codec.synthesis(y), picture)
    adapted = run.codec.synthesis(y, run.trained.adapters())
    assert not torch.equal(adapted, picture)
    assert torch.equal(run.codec.synthesis(y), picture)


@pytest.mark.parametrize("done", [0.1, 0.6])
def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(folder: Path, done: float) -> None:
    training, _ = photos.find_photos(folder / "photos", 64)
    run = _run()
    run.done = done
    run.step(_features, training)
    run.save(folder / "state.pt")
    straight = [run.step(_features, training) for _ in range(3)]
    resumed = _run()
    resumed.load(folder / "state.pt")
    assert resumed.done == done
    assert [resumed.step(_features, training) for _ in range(3)] == straight


def test_a_state_of_another_codec_is_refused(folder: Path) -> None:
    run = _run()
    run.save(folder / "state.pt")
    state = torch.load(folder / "state.pt", weights_only=True)
    torch.save({**state, "base": "00" * 8}, folder / "state.pt")
    with pytest.raises(UsageError, match="another base codec"):
        run.load(folder / "state.pt")


def test_too_few_photos_are_refused(folder: Path) -> None:
    assert [len(part) for part in photos.find_photos(folder / "photos", 64)] == [19, 1]
    with pytest.raises(UsageError, match="fewer than"):
        photos.find_photos(folder / "photos", 95)


def test_lambda_rises_with_level_and_quality() -> None:
    levels, zero = torch.arange(1, 5), torch.zeros(4)
    rising = losses.task_lambda(levels, zero)
    assert (rising.diff() > 0).all()
    assert (losses.task_lambda(levels, zero + 5) > rising).all()


def test_gaussian_bits_are_those_of_the_probabilities() -> None:
    symbols = torch.arange(-400, 401)
    scales = torch.full(symbols.shape, 20.0)
    bits = losses.gaussian_bits(symbols, scales)
    assert abs(torch.exp2(-bits).sum() - 1) < 1e-3
    assert bits[400] == bits.min()


def test_a_distortion_is_relative_to_the_originals() -> None:
    original = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    decoded = [o * 1.1 for o in original]
    assert torch.allclose(losses.feature_distortion(original, original), torch.zeros(2))
    once = losses.feature_distortion(decoded, original)
    scaled = losses.feature_distortion([d * 7 for d in decoded], [o * 7 for o in original])
    assert torch.allclose(once, scaled)
    assert torch.allclose(once.mean(), torch.tensor(0.01), rtol=1e-4)
