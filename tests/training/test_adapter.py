from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from icmhcodec.adapters.kinds import load_stages
from icmhcodec.codecs import registry
from icmhcodec.errors import UsageError
from icmhcodec.masks import kinds as predictors
from icmhcodec.masks.predictor import Condition
from icmhcodec.training import adapter, loop, losses, recipe
from icmhcodec.training.adapter import TaskRecipe
from icmhcodec.training.photos import Crops

from .conftest import crops_of

MACHINE = TaskRecipe(steps=8, batch=2, crop=64, workers=0, width=4, bfloat16=False)
SCALABLE = replace(MACHINE, profile="scalable", encoder=(), predictor="light", alone=0.35)


def _features(x: Tensor) -> list[Tensor]:
    return [F.avg_pool2d(x, 4), F.avg_pool2d(x, 8)]


@pytest.fixture
def crops(folder: Path) -> Crops:
    return crops_of(folder)


def _run(own: TaskRecipe = SCALABLE) -> adapter.Run:
    return adapter.Run(registry.load("test-tiny"), own, _features)


def test_a_scalable_run_trains_both_parts_and_exports_them(crops: Crops, tmp_path: Path) -> None:
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
    assert changed == {"predictor", "sides"}
    predictor, bundle = adapter.export(run, "det", "det-3", {"licence": "none"})
    assert predictor.metadata["base_fingerprint"] == run.codec.fingerprint.hex()
    assert predictor.metadata["profile"] == "scalable"
    assert bundle.metadata["licence"] == "none"
    assert bundle.metadata["roles"] == "decoder"
    stages = load_stages(bundle.tensors, "decoder", 3)
    assert [stage is None for stage in stages] == [False, False, True]
    assert load_stages(bundle.tensors, "encoder", 3) == [None] * 3
    mean = torch.zeros(run.codec.latent_channels, 4, 4, dtype=torch.int32)
    mask = predictors.load(predictor.tensors)(mean, mean.byte() + 30, Condition(0, 1, 64))
    assert mask.shape == mean.shape


@pytest.mark.parametrize("predictor", ["none", "light", "channels"])
def test_a_machine_run_trains_both_sides(predictor: str, crops: Crops, tmp_path: Path) -> None:
    run = _run(replace(MACHINE, predictor=predictor, kind="naive", decoder=(2,)))
    before = {k: v.clone() for k, v in run.trained.state_dict().items()}
    start = run.validate(crops.held_out(4))
    loop.train(run, crops, tmp_path)
    trained = run.trained.state_dict()
    moved = {k.rpartition(".")[0] for k, v in trained.items() if not v.equal(before[k])}
    assert {"sides.encoder.1.up", "sides.encoder.2.up", "sides.decoder.2.up"} <= moved
    assert run.validate(crops.held_out(4)).loss < start.loss
    models = adapter.export(run, "det", "det-3", {})
    assert [model.kind for model in models] == ["predictor", "adapter"][predictor == "none" :]
    assert models[-1].metadata["roles"] == "encoder, decoder"
    encoder = load_stages(models[-1].tensors, "encoder", 3)
    assert [stage is None for stage in encoder] == [True, False, False]
    assert [s is None for s in load_stages(models[-1].tensors, "decoder", 3)] == [True, True, False]


def test_the_rate_falls_at_the_same_distortion(crops: Crops, tmp_path: Path) -> None:
    own = replace(
        MACHINE,
        steps=60,
        peak=5e-3,
        encoder_peak=5e-3,
        kind="naive",
        average=0.9,
        lambdas=(1.0, 100.0),
    )
    run = _run(own)
    loop.train(run, crops, tmp_path)
    report = run.report(crops.held_out(4))
    assert report.loss_after < report.loss_before
    assert report.after[0].bpp < report.before[0].bpp


def test_untrained_adapters_without_a_predictor_are_the_base_codec(crops: Crops) -> None:
    report = _run(MACHINE).report(crops.held_out(4))
    assert report.before == report.after
    assert report.distortion_at_equal_bpp in (None, 0)


def test_the_predictor_learns_alone_at_first(crops: Crops) -> None:
    run = _run()
    before = {k: v.clone() for k, v in run.trained.sides.state_dict().items()}
    run.step(crops[0])
    assert all(v.equal(before[k]) for k, v in run.trained.sides.state_dict().items())


def test_the_frozen_codec_is_untouched_by_training(crops: Crops) -> None:
    run = _run(MACHINE)
    x = torch.rand(1, 3, 64, 64)
    y = run.codec.analysis(x)
    picture = run.codec.synthesis(y)
    for step in range(3):
        run.step(crops[step])
    assert torch.equal(run.codec.analysis(x), y)
    assert not torch.equal(run.codec.analysis(x, run.trained.adapters("encoder")), y)
    adapted = run.codec.synthesis(y, run.trained.adapters("decoder"))
    assert not torch.equal(adapted, picture)
    assert torch.equal(run.codec.synthesis(y), picture)


@pytest.mark.parametrize("own", [SCALABLE, replace(MACHINE, predictor="light")])
@pytest.mark.parametrize("stop", [1, 6])
def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(
    crops: Crops, tmp_path: Path, own: TaskRecipe, stop: int
) -> None:
    whole, part, rest = (_run(own) for _ in range(3))
    loop.train(whole, crops, tmp_path)
    loop.train(part, crops, tmp_path, stopped=lambda: part.steps == stop)
    rest.load(tmp_path / loop.STATE)
    assert rest.steps == stop
    loop.train(rest, crops, tmp_path)
    own_state, other = (run.trained.state_dict() for run in (rest, whole))
    assert all(own_state[name].equal(other[name]) for name in other)


def test_a_state_of_another_codec_is_refused(tmp_path: Path) -> None:
    run, path = _run(), tmp_path / loop.STATE
    run.save(path)
    state = torch.load(path, weights_only=True)
    torch.save({**state, "base": "00" * 8}, path)
    with pytest.raises(UsageError, match="of another base, 0000"):
        run.load(path)


def test_the_hyper_path_is_an_estimate_that_nothing_is_exported_of(crops: Crops) -> None:
    run = _run(replace(MACHINE, hyper=True, encoder=(), decoder=()))
    before = {k: v.clone() for k, v in run.trained.state_dict().items()}
    run.step(crops[0])
    after = run.trained.state_dict()
    assert {k.split(".")[0] for k, v in after.items() if not v.equal(before[k])} == {"hyper"}
    assert run.validate(crops.held_out(2)).curve
    with pytest.raises(UsageError, match="hyper path cannot be exported"):
        adapter.export(run, "det", "det-0", {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"profile": "both"}, "profile is one of scalable, machine"),
        ({"kind": "lora"}, "kind is one of sfma"),
        ({"predictor": "dark"}, "predictor is one of none, light"),
        ({"profile": "scalable"}, "encoder and hyper are empty"),
        ({"profile": "scalable", "encoder": ()}, "needs a predictor"),
        ({"encoder": (), "decoder": ()}, "nothing to train"),
        ({"lambdas": (3.0, 1.0)}, "the lowest and the highest"),
        ({"width": 0}, "sizes"),
        ({"alone": 1.5}, "a share"),
        ({"alone": 0.2}, "the predictor's share, and there is none"),
        ({"per_level": 0.0}, "a factor"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe.parse(TaskRecipe, values)


def test_stages_that_the_codec_has_not_are_refused() -> None:
    with pytest.raises(UsageError, match="the decoder's stages are 0 to 2"):
        _run(replace(MACHINE, decoder=(3,)))


def test_the_package_has_recipes_for_task_layers() -> None:
    folder = recipe.FOLDER / "tasks"
    assert set(recipe.names(folder)) == {
        "full", "machine", "machine-gpu", "machine-plain", "predictor", "scalable", "task-adapter"
    }  # fmt: skip
    scalable, machine, plain, alone, gpu = (
        recipe.load_as(TaskRecipe, name, folder)
        for name in ("scalable", "machine", "machine-plain", "predictor", "machine-gpu")
    )
    assert (scalable.profile, scalable.encoder, scalable.predictor) == ("scalable", (), "light")
    assert (machine.profile, machine.predictor) == ("machine", "light")
    assert plain == TaskRecipe()
    assert gpu.encoder == gpu.decoder == (0, 1, 2)
    assert (alone.encoder, alone.decoder, alone.alone) == ((), (), 1.0)
    assert not any(own.turn for own in (scalable, machine, plain, alone, gpu))


def test_lambda_rises_with_level_and_quality() -> None:
    levels, zero = torch.arange(1, 5), torch.zeros(4)
    rising = losses.task_lambda(zero, levels, (0.5, 50.0), 2.0)
    assert (rising.diff() > 0).all()
    assert (losses.task_lambda(zero + 5, levels, (0.5, 50.0), 2.0) > rising).all()
    ends = losses.task_lambda(torch.tensor([0.0, 9]), torch.tensor([2, 2]), (0.5, 50.0), 2.0)
    assert ends.tolist() == pytest.approx([0.5, 50.0])
    assert float(rising[2] / rising[1]) == pytest.approx(2.0)


def test_a_distortion_is_relative_to_the_originals() -> None:
    original = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    decoded = [o * 1.1 for o in original]
    assert torch.allclose(losses.feature_distortion(original, original), torch.zeros(2))
    once = losses.feature_distortion(decoded, original)
    scaled = losses.feature_distortion([d * 7 for d in decoded], [o * 7 for o in original])
    assert torch.allclose(once, scaled)
    assert torch.allclose(once.mean(), torch.tensor(0.01), rtol=1e-4)


def test_levels_of_features_have_weights() -> None:
    original = [torch.ones(2, 3, 8, 8) for _ in range(3)]
    decoded = [o * (1 + error) for o, error in zip(original, (0.1, 0.2, 0.3), strict=True)]
    equal = losses.feature_distortion(decoded, original)
    assert equal.tolist() == pytest.approx([(0.01 + 0.04 + 0.09) / 3] * 2, rel=1e-4)
    weighed = losses.feature_distortion(decoded, original, (0.0, 1.0))
    assert weighed.tolist() == pytest.approx([(0.04 + 0.09) / 2] * 2, rel=1e-4)
    first = losses.feature_distortion(decoded, original, (4.0, 0.0, 1.0))
    assert first.tolist() == pytest.approx([(4 * 0.01 + 0.09) / 5] * 2, rel=1e-4)
