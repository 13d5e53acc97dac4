from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from icmhcodec.codecs.video import registry
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.training import loop, photos, recipe, video, video_network
from icmhcodec.training.recipe import load_as
from icmhcodec.training.video import Run, VideoRecipe
from icmhcodec.training.video_clips import Sequences
from tests.codecs.video.tiny import SIZES, tiny_network
from tests.training.conftest import record
from tests.training.conftest import tiny_network as tiny_picture_network

TINY = VideoRecipe(
    steps=5, batch=2, crop=64, frames=3, workers=0, bfloat16=False,
    flow=0.2, prior=0.0, motion=0.2, residual=0.2, joint=0.2, unroll=0.2,
)  # fmt: skip


def tiny_run(**changes: Any) -> Run:
    chosen = replace(TINY, **changes)
    start = tiny_network(chosen.architecture).requires_grad_(True)
    return Run(chosen, torch.device("cpu"), tiny_picture_network(), start)


def sequences(folder: Path) -> Sequences:
    return Sequences(None, photos.load(folder, 64, folder.parent), 64, TINY.batch, TINY.frames)


def test_stages_follow_their_shares() -> None:
    stages = [TINY.stage(done) for done in (0, 0.19, 0.21, 0.45, 0.7, 0.9, 1.0)]
    assert stages == ["flow", "flow", "motion", "residual", "joint", "unroll", "unroll"]
    feature = replace(TINY, architecture="fvc")
    assert [feature.stage(d) for d in (0, 0.3, 0.45)] == ["motion", "motion", "residual"]
    without = replace(TINY, unroll=0.0)
    assert without.stage(1.0) == "joint"


@pytest.mark.parametrize(
    ("stage", "learning", "resting"),
    [
        ("flow", "estimation.levels.0.0.weight", "residual.g_a.0.weight"),
        ("prior", "motion.h_s.4.bias", "motion.g_a.0.weight"),
        ("motion", "motion.g_a.0.weight", "residual.g_a.0.weight"),
        ("residual", "residual.g_a.0.weight", "motion.g_a.0.weight"),
        ("joint", "estimation.levels.3.0.weight", ""),
        ("unroll", "flow_head.weight", ""),
    ],
)
def test_each_stage_changes_its_parts(
    folder: Path, stage: str, learning: str, resting: str
) -> None:
    run = tiny_run(prior=0.2)
    run.done = (video.STAGES.index(stage) + 0.5) / 6
    before = {k: v.clone() for k, v in run.trained.state_dict().items()}
    means = run.step(sequences(folder)[0])
    after = run.trained.state_dict()
    assert not torch.equal(after[learning], before[learning])
    assert not resting or torch.equal(after[resting], before[resting])
    assert means["bpp" if stage == "prior" else "psnr"] > 0


@pytest.mark.parametrize("stage", [0.1, 0.5, 0.9])
def test_features_are_trained_in_every_stage(folder: Path, stage: float) -> None:
    run = tiny_run(architecture="fvc")
    run.done = stage
    before = {k: v.clone() for k, v in run.trained.state_dict().items()}
    run.step(sequences(folder)[0])
    after = run.trained.state_dict()
    assert not torch.equal(after["features.0.weight"], before["features.0.weight"])
    moved = not torch.equal(after["motion.g_a.0.weight"], before["motion.g_a.0.weight"])
    assert moved == (stage != 0.5)


@pytest.mark.parametrize("architecture", ["dvc", "fvc"])
def test_what_is_coded_survives_a_fresh_coder(architecture: str) -> None:
    """By torch's own start a latent is rounded to nothing, and its coder never learns."""
    torch.manual_seed(0)
    sizes = video_network.Sizes((16, 16), (16, 24), 16, 16, SIZES.spynet)
    net = video_network.fresh(architecture, sizes)
    torch.manual_seed(0)
    video_network.enliven(net)
    channels = 2 if architecture == "dvc" else sizes.around
    seen = 3 * torch.nn.functional.interpolate(torch.randn(2, channels, 8, 8), scale_factor=16)
    with torch.no_grad():
        y = net.motion.g_a(seen)
        back = net.motion.g_s(y)
        gain, _ = net.motion.gains(torch.tensor([9.0, 9.0]))
        current, reference = torch.rand(2, 1, 3, 64, 64)
        coded = net(current, reference, torch.tensor([5.0]))
    assert 0.3 < y.std() / seen.std() < 3
    assert 0.1 < back.std() / y.std() < 3
    assert ((y * gain).abs() > 0.5).float().mean() > 0.1
    if architecture == "dvc":
        assert (coded.predicted - reference).square().mean() < 0.01


def test_a_resumed_run_goes_on_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    crops = sequences(folder)
    whole, part, rest = (tiny_run() for _ in range(3))
    straight, first, second = (record(run) for run in (whole, part, rest))
    reports: list[loop.Progress] = []
    loop.train(whole, crops, tmp_path, reports.append)
    loop.train(part, crops, tmp_path, stopped=lambda: part.steps == 2)
    rest.load(tmp_path / loop.STATE)
    loop.train(rest, crops, tmp_path)
    assert first + second == straight
    assert len(straight) == 5
    last = reports[-1].validation
    assert last is not None
    assert [point.quality for point in last.curve] == [0, 3, 6, 9]
    model = video.export(rest, "own-1", {"licence": "none"})
    assert registry.build(model).id == "own-1"
    assert model.metadata["steps"] == "5"
    assert "synthetic 0.5" in model.metadata["recipe"]


def test_flow_learns_what_moved(folder: Path) -> None:
    run = tiny_run(steps=40, kernel_rate=2e-3, table_rate=2e-3, warmup=0.0, decay=0.5)
    run.done = 0.01
    batch = sequences(folder)[3]
    losses = [run.step(batch)["loss"] for _ in range(12)]
    assert losses[-1] < losses[0]


def test_later_frames_weigh_more_and_one_in_the_mean(folder: Path) -> None:
    run = tiny_run()
    seen: list[float] = []
    crops = photos.to_input(sequences(folder)[0], "cpu")
    costs = run._costs

    def constant(stage: str, coded: Any, current: Any) -> Any:
        seen.append(1.0)
        distortion, error, bpp = costs(stage, coded, current)
        return torch.zeros_like(distortion), error, torch.full_like(bpp, len(seen))

    run._costs = constant  # type: ignore[method-assign]
    run.done = 0.9
    loss, _ = run.terms(crops)
    assert loss.item() == pytest.approx((2 / 3 * 1 + 4 / 3 * 2) / 2)


def test_a_fresh_dvc_starts_from_the_picture_codec() -> None:
    sizes = replace(SIZES, residual=(8, 12))
    net = video_network.fresh("dvc", sizes)
    own = tiny_picture_network().state_dict()
    video_network.start_residual(net, own)
    assert torch.equal(net.state_dict()["residual.gain"], own["gain"])
    other = video_network.fresh("dvc", replace(sizes, residual=(8, 8)))
    with pytest.raises(FormatError, match="do not fit"):
        video_network.start_residual(other, own)


def test_recipes_are_those_of_the_package() -> None:
    for name in recipe.names(video.FOLDER):
        assert isinstance(load_as(VideoRecipe, name, video.FOLDER), VideoRecipe)
    assert load_as(VideoRecipe, "cpu", video.FOLDER).minutes == 240
    for wrong in ({"architecture": "ssf"}, {"frames": 1}, {"flow": -0.1}, {"optimiser": "sgd"},
                  {"lambdas": (1.0, 0.5)}, {"inner": 0}, {"motion_channels": (1,)},
                  {"skip": 64}, {"synthetic": 2.0}):  # fmt: skip
        with pytest.raises(UsageError, match="recipe"):
            replace(TINY, **wrong)
    with pytest.raises(UsageError, match="one of dvc, fvc"):
        video_network.fresh("ssf", SIZES)


def test_a_run_on_another_picture_codec_is_refused(tmp_path: Path) -> None:
    run = tiny_run()
    run.base = "aa"
    run.save(tmp_path / loop.STATE)
    run.load(tmp_path / loop.STATE)
    run.base = "bb"
    with pytest.raises(UsageError, match="of another base, aa"):
        run.load(tmp_path / loop.STATE)
