from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import DEFAULT, patch

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.adapters.video import load_video_adapter
from icmhcodec.codecs import registry
from icmhcodec.codecs.video import registry as video_registry
from icmhcodec.container import Reference
from icmhcodec.entropy.model import MEAN_BITS
from icmhcodec.errors import UsageError
from icmhcodec.masks import kinds
from icmhcodec.masks import video as video_masks
from icmhcodec.masks.light import LightNet
from icmhcodec.masks.predictor import Condition
from icmhcodec.training import loop, photos, recipe, task, video_task
from icmhcodec.training.recipe import load_as
from icmhcodec.training.video import as_sequences
from icmhcodec.training.video_clips import Sequences
from icmhcodec.training.video_task import Run, VideoTaskRecipe
from tests.codecs.video.tiny import tiny_model
from tests.training.conftest import record

TINY = VideoTaskRecipe(
    steps=4, batch=2, crop=64, frames=3, ahead=1, workers=0, alone=0.5, width=8,
    lambdas=(0.3, 30.0),
)  # fmt: skip


COLOURS = [1, 5]


def features(x: Tensor) -> list[Tensor]:
    """What a network might see: edges."""
    return [F.avg_pool2d(x, 2), x.diff(dim=3)]


def tiny_run(recipe: VideoTaskRecipe = TINY) -> Run:
    torch.manual_seed(0)
    codec, intra = video_registry.build(tiny_model("dvc")), registry.load("test-tiny")
    predictor = kinds.load(kinds.export(LightNet(intra.latent_channels, width=8)))
    # All channels of so small a codec shift colours.
    with patch.object(video_task, "colour_channels", return_value=COLOURS):
        return Run(codec, intra, predictor, recipe, features)


def sequences(folder: Path) -> Sequences:
    return Sequences(None, photos.load(folder, 64, folder.parent), 64, TINY.batch, TINY.length)


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
    crops = as_sequences(photos.to_input(sequences(folder)[0], "cpu"), TINY.length)
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


@torch.no_grad()
def test_frames_ahead_are_passed_and_the_last_one_stands_for_its_group(folder: Path) -> None:
    run = tiny_run(replace(TINY, group=0))
    x = as_sequences(photos.to_input(sequences(folder)[0], "cpu"), TINY.length)
    quality, level = torch.tensor([4.0, 6.0]), torch.tensor([2, 2])

    def costs(frames: int, ahead: int) -> tuple[Tensor, Tensor]:
        batch = task.Draw(x[:, 0], quality, level, 0)
        bpp, distortion, _ = run._costs(
            run.trained, x[:, :frames], batch, ahead, noisy=False, adapted=False
        )
        return bpp, distortion

    first, second, both = costs(2, 0), costs(3, 1), costs(3, 0)
    for one, other, mean in zip(first, second, both, strict=True):
        torch.testing.assert_close(mean, (one + other) / 2)
    run.recipe = replace(run.recipe, group=5)  # two frames that follow are like the last one
    bpp, distortion = costs(3, 0)
    torch.testing.assert_close(bpp, both[0])
    torch.testing.assert_close(distortion, (first[1] + 3 * second[1]) / 4)


def test_no_gradient_comes_from_frames_ahead(folder: Path) -> None:
    run = tiny_run()
    x = as_sequences(photos.to_input(sequences(folder)[0], "cpu"), TINY.length)
    batch = task.Draw(x[:, 0], torch.tensor([4.0, 6.0]), torch.tensor([2, 2]), 0)
    gradients = []
    for start in (0, 1):  # of a chain of three P frames
        run.trained.zero_grad()
        _, distortion, _ = run._costs(run.trained, x, batch, start, noisy=False, adapted=False)
        distortion.sum().backward()  # type: ignore[no-untyped-call]
        gradients.append(run.trained.nets()["residual"].slope.grad.abs().sum())  # type: ignore[union-attr]
    assert gradients[0] > 0 < gradients[1] != gradients[0]
    with patch.object(run, "_layer", wraps=run._layer) as layer:
        learnt: list[bool] = []
        layer.side_effect = lambda *_: learnt.append(torch.is_grad_enabled()) or DEFAULT
        run._costs(run.trained, x, batch, 1, noisy=False, adapted=False)
    assert learnt == [False, True, True]


@pytest.mark.packaged
def test_what_shifts_colours_is_held(folder: Path) -> None:
    dvc = video_registry.load("dvc-1")
    colours = video_task.colour_channels(dvc)
    assert 3 <= len(colours) <= 6  # of 192: brightness, and two of hue
    run = tiny_run()
    run.step(sequences(folder)[0])
    for net in (run.trained, run.average):
        bias = net.nets()["residual"].leave.bias
        assert bias[COLOURS].tolist() == [video_task.HELD] * 2
    x = as_sequences(photos.to_input(sequences(folder)[0], "cpu"), TINY.length)
    batch = task.Draw(x[:, 0], torch.tensor([0.0, 9.0]), torch.tensor([1, 4]), 0)
    human, _ = run._first(batch)
    latent = run._human(x[:, 1], human, batch.quality)[1]["residual"]
    mask = run._mask(run.average, "residual", latent, None, batch, noisy=False)
    assert torch.equal(mask[:, COLOURS], latent.coded[:, COLOURS])


def test_it_starts_with_a_bundle_or_a_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))
    run = tiny_run()
    loop.train(run, sequences(folder), tmp_path)
    for model in video_task.export(run, "det", "own-1", {"licence": "none"}):
        modelfile.write(tmp_path / "part", model)
        bundles.add(tmp_path / "part")
    codec = Reference(run.codec.id, run.codec.fingerprint)
    wanted = run.average.state_dict()
    for name, licence in (("own-1", "none"), ("det", "none"), (str(tmp_path), "")):
        weights, said = video_task.start_with(name, codec)
        assert said == licence
        assert weights.keys() == wanted.keys()
        for key, tensor in weights.items():
            torch.testing.assert_close(tensor, wanted[key], atol=4e-3, rtol=2e-2)
    with pytest.raises(UsageError, match="neither a run's folder nor a bundle"):
        video_task.start_with("own-2", codec)
    state = loop.read_state(tmp_path / loop.STATE)
    torch.save({**state, "kind": "base"}, tmp_path / loop.STATE)
    with pytest.raises(UsageError, match="of kind base"):
        video_task.start_with(str(tmp_path), codec)


def test_a_state_of_another_codec_is_refused(tmp_path: Path) -> None:
    run = tiny_run()
    run.save(tmp_path / "state.pt")
    run.codec.fingerprint = bytes(8)
    with pytest.raises(UsageError, match="another base"):
        run.load(tmp_path / "state.pt")


def test_recipes() -> None:
    for name in recipe.names(video_task.FOLDER):
        assert isinstance(load_as(VideoTaskRecipe, name, video_task.FOLDER), VideoTaskRecipe)
    for wrong in ({"frames": 1}, {"alone": 0.0}, {"lambdas": (3.0, 1.0)}, {"width": 0}):
        with pytest.raises(UsageError, match="recipe"):
            replace(TINY, **wrong)  # type: ignore[arg-type]
