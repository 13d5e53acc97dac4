from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from icmhcodec.adapters.video import load_video_adapter
from icmhcodec.codecs import registry
from icmhcodec.codecs.video import registry as video_registry
from icmhcodec.entropy.model import MEAN_BITS
from icmhcodec.errors import UsageError
from icmhcodec.masks import kinds
from icmhcodec.masks import video as video_masks
from icmhcodec.masks.light import LightNet
from icmhcodec.masks.predictor import Condition
from icmhcodec.training import loop, photos, recipe, task, video_task
from icmhcodec.training.video import as_sequences
from icmhcodec.training.video_clips import Sequences
from icmhcodec.training.video_task import Run, VideoTaskRecipe
from tests.codecs.video.tiny import tiny_model
from tests.training.conftest import record

TINY = VideoTaskRecipe(
    steps=4, batch=2, crop=64, frames=3, workers=0, alone=0.5, width=8, lambdas=(0.3, 30.0)
)


def features(x: Tensor) -> list[Tensor]:
    """What a network might see: edges."""
    return [F.avg_pool2d(x, 2), x.diff(dim=3)]


def tiny_run(recipe: VideoTaskRecipe = TINY) -> Run:
    torch.manual_seed(0)
    codec, intra = video_registry.build(tiny_model("dvc")), registry.load("test-tiny")
    predictor = kinds.load(kinds.export(LightNet(intra.latent_channels, width=8)))
    return Run(codec, intra, predictor, recipe, features)


def sequences(folder: Path) -> Sequences:
    return Sequences(None, photos.load(folder, 64, folder.parent), 64, TINY.batch, TINY.frames)


def test_first_the_predictors_learn_then_the_adapter(folder: Path) -> None:
    for done, learns in ((0.0, "predictors"), (0.6, "adapter")):
        run = tiny_run()
        run.done = done
        before = {k: v.clone() for k, v in run.trained.state_dict().items()}
        means = run.step(sequences(folder)[0])
        changed = {k.split(".")[0] for k, v in run.trained.state_dict().items()
                   if not torch.equal(v, before[k])}  # fmt: skip
        assert changed == {learns}
        assert 0 < means["fill"] < 1
        assert means["bpp"] > 0


def test_a_resumed_run_goes_on_bit_for_bit_and_is_exported(folder: Path, tmp_path: Path) -> None:
    crops = sequences(folder)
    whole, part, rest = (tiny_run() for _ in range(3))
    straight, first, second = (record(run) for run in (whole, part, rest))
    loop.train(whole, crops, tmp_path)
    loop.train(part, crops, tmp_path, stopped=lambda: part.steps == 3)
    early = video_task.export(part, "det", "det-video-1", {})
    assert [model.kind for model in early] == ["predictor", "adapter"]
    rest.load(tmp_path / loop.STATE)
    loop.train(rest, crops, tmp_path)
    assert first + second == straight
    predictor, adapter = video_task.export(rest, "det", "det-video-1", {"licence": "none"})
    assert predictor.metadata["base_fingerprint"] == rest.codec.fingerprint.hex()
    assert set(video_masks.load(predictor.tensors)) == {"motion", "residual"}
    load_video_adapter(adapter.tensors)


@torch.no_grad()
def test_masks_in_training_are_those_of_the_exported_integers(folder: Path) -> None:
    run = tiny_run()
    tensors = video_task.export(run, "det", "det-video-1", {})[0].tensors
    integers = video_masks.load(tensors)["residual"]
    crops = as_sequences(photos.to_input(sequences(folder)[0], "cpu"), TINY.frames)
    quality, level = torch.tensor([4.0, 4.0]), torch.tensor([2, 2])
    batch = task.Draw(crops[:, 0], quality, level, 0)
    human, _ = run._first(batch)
    _, latents = run._human(crops[:, 1], human, quality)
    latent = latents["residual"]
    before = torch.randint(-3, 4, latent.symbols.shape)
    mask = run._mask(run.average, "residual", latent, before.float(), batch, noisy=False)
    exact = integers(
        (latent.mean[0] * 2**MEAN_BITS).int(), latent.index[0].to(torch.uint8), before[0].int(),
        Condition(4 * 256, 2, 64),
    )  # fmt: skip
    wanted = exact & (latent.coded[0] > 0)
    assert (mask[0].bool() == wanted).float().mean() > 0.98


def test_all_symbols_cost_more_and_show_more(folder: Path) -> None:
    run = tiny_run()
    crops = sequences(folder).held_out(2)
    masked, whole = run.curve(crops, masked=True), run.curve(crops, masked=False)
    assert all(a.bpp <= b.bpp for a, b in zip(masked, whole, strict=True))
    assert masked[-1].bpp > 0


def test_a_state_of_another_codec_is_refused(tmp_path: Path) -> None:
    run = tiny_run()
    run.save(tmp_path / "state.pt")
    run.codec.fingerprint = bytes(8)
    with pytest.raises(UsageError, match="another base"):
        run.load(tmp_path / "state.pt")


def test_recipes() -> None:
    for name in recipe.names(video_task.FOLDER):
        assert isinstance(video_task.load_recipe(name), VideoTaskRecipe)
    for wrong in ({"frames": 1}, {"alone": 0.0}, {"lambdas": (3.0, 1.0)}, {"width": 0}):
        with pytest.raises(UsageError, match="recipe"):
            replace(TINY, **wrong)  # type: ignore[arg-type]
