from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from icmhcodec.adapters.kinds import load_stages
from icmhcodec.adapters.picture import load_task_adapter
from icmhcodec.codecs import registry
from icmhcodec.errors import UsageError
from icmhcodec.modelfile import ModelFile
from icmhcodec.training import adapter, loop, picture
from icmhcodec.training.photos import Crops
from icmhcodec.training.picture import Bundle, PictureRecipe

from .conftest import crops_of
from .test_adapter import MACHINE, SCALABLE

RECIPE = PictureRecipe(steps=6, batch=2, crop=64, workers=0, bfloat16=False)


def _features(x: Tensor) -> list[Tensor]:
    return [F.avg_pool2d(x, 4)]


@pytest.fixture
def crops(folder: Path) -> Crops:
    return crops_of(folder)


def _files(own: adapter.TaskRecipe) -> list[ModelFile]:
    run = adapter.Run(registry.load("test-tiny"), own, _features)
    return adapter.export(run, "det", "det-3", {})


def _run() -> picture.Run:
    codec = registry.load("test-tiny")
    predictor, decoder = _files(SCALABLE)
    return picture.Run(codec, Bundle(codec, decoder, predictor), RECIPE, _features)


def test_it_learns_and_is_added_to_the_bundles_adapter(crops: Crops, tmp_path: Path) -> None:
    run = _run()
    start = run.validate(crops.held_out(4))
    loop.train(run, crops, tmp_path)
    report = run.report(crops.held_out(4))
    assert report.loss_after < start.loss
    assert [p.bpp for p in report.after] == [p.bpp for p in report.before]
    (model,) = picture.export(run, "det-4", {"licence": "none"})
    old = run.bundle.adapter
    assert all(model.tensors[name].equal(tensor) for name, tensor in old.tensors.items())
    assert model.metadata["roles"] == "decoder, task adapter"
    assert model.metadata["id"] == "det-4"
    assert model.metadata["task_adapter_steps"] == "6"
    assert model.metadata["recipe"] == old.metadata["recipe"]
    assert any(load_stages(model.tensors, "decoder", 3))
    loaded = load_task_adapter(model.tensors)
    assert loaded is not None
    again = picture.Run(run.codec, Bundle(run.codec, model, None), RECIPE, _features)
    (second,) = picture.export(again, "det-5", {})
    assert second.metadata["roles"] == "decoder, task adapter"


def test_an_untrained_one_is_the_bundle(crops: Crops) -> None:
    report = _run().report(crops.held_out(3))
    assert report.before == report.after


def test_pictures_are_those_that_the_pipeline_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training sees what an encoded and decoded file gives."""
    from icmhcodec import modelfile
    from icmhcodec.adapters import bundles
    from icmhcodec.pipeline.codec import Codec
    from icmhcodec.training.task import Draw

    monkeypatch.setenv("ICMH_DATA", str(tmp_path))
    for own in (SCALABLE, MACHINE):
        files = _files(own)
        for model in files:
            path = tmp_path / f"{model.kind}.safetensors"
            modelfile.write(path, model)
            bundles.add(path)
        codec = registry.load("test-tiny")
        predictor = files[0] if len(files) == 2 else None
        run = picture.Run(codec, Bundle(codec, files[-1], predictor), RECIPE, _features)
        small = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
        x = (F.interpolate(small, size=(64, 64), mode="bilinear") * 255).round() / 255
        batch = Draw(x, torch.tensor([4.0]), torch.tensor([2]), 0)
        decoded, bpp = run._decoded(batch)
        pixels = (x[0] * 255).byte().permute(1, 2, 0).numpy()
        tiny = Codec("test-tiny", precision="float32")
        data = tiny.encode(pixels, tasks=["det"], profile=own.profile, skip=0).data
        shown = tiny.decode(data, task="det").picture.pixels
        expected = (decoded[0] * 255).round().byte().permute(1, 2, 0).numpy()
        assert np.abs(shown.astype(int) - expected).max() <= 1
        assert bpp > 0


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(crops: Crops, tmp_path: Path) -> None:
    whole, part, rest = (_run() for _ in range(3))
    loop.train(whole, crops, tmp_path)
    loop.train(part, crops, tmp_path, stopped=lambda: part.steps == 2)
    rest.load(tmp_path / loop.STATE)
    loop.train(rest, crops, tmp_path)
    own, other = (run.trained.state_dict() for run in (rest, whole))
    assert all(own[name].equal(other[name]) for name in other)


def test_bundles_of_other_codecs_are_refused() -> None:
    predictor, decoder = _files(SCALABLE)
    other = replace(decoder, metadata={**decoder.metadata, "base_fingerprint": "00" * 8})
    with pytest.raises(UsageError, match="det-3: a bundle of other weights than test-tiny"):
        Bundle(registry.load("test-tiny"), other, predictor)
