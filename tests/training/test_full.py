from pathlib import Path

import pytest
import torch.nn.functional as F
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.codecs import registry
from icmhcodec.codecs.architectures import build
from icmhcodec.errors import UsageError
from icmhcodec.training import full, loop, recipe
from icmhcodec.training.recipe import BaseRecipe

from .conftest import crops_of

RECIPE = BaseRecipe(
    steps=8, batch=2, crop=64, scales=(1.0,), workers=0, compile=False, bfloat16=False,
    turn=False, optimiser="adam", kernel_rate=1e-3, table_rate=1e-3, lambdas=(0.3, 30.0),
    average=0.5,
)  # fmt: skip


def _features(x: Tensor) -> list[Tensor]:
    return [F.avg_pool2d(x, 4)]


def test_everything_learns_and_becomes_a_codec(folder: Path, tmp_path: Path) -> None:
    run = full.Run(registry.load("test-tiny"), RECIPE, _features)
    before = {k: v.clone() for k, v in run.trained.state_dict().items()}
    crops = crops_of(folder)
    start = run.validate(crops.held_out(4))
    loop.train(run, crops, tmp_path)
    after = run.trained.state_dict()
    moved = {k.split(".")[0] for k, v in after.items() if not v.equal(before[k])}
    assert moved == {"g_a", "g_s", "h_a", "h_s", "eb", "gain", "igain"}
    report = run.report(crops.held_out(4))
    assert report.loss_after < report.loss_before == pytest.approx(start.loss)
    path = tmp_path / "codec.safetensors"
    full.export(run, "tiny.det-0", {"licence": "none"}, path)
    model = modelfile.read(path)
    assert model.metadata["init"] == "test-tiny"
    assert model.metadata["default_skip"] == str(run.base.default_skip)
    codec = build(model)
    assert codec.id == "tiny.det-0"
    assert codec.fingerprint != run.base.fingerprint


def test_the_state_is_of_that_kind_and_base(tmp_path: Path) -> None:
    run = full.Run(registry.load("test-tiny"), RECIPE, _features)
    run.save(tmp_path / loop.STATE)
    again = full.Run(registry.load("test-tiny"), RECIPE, _features)
    again.load(tmp_path / loop.STATE)
    assert loop.read_state(tmp_path / loop.STATE)["kind"] == "full"


def test_a_codec_whose_file_is_gone_is_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = registry.load("test-tiny")
    monkeypatch.setattr(codec, "id", "gone-1")
    with pytest.raises(UsageError, match="gone-1: its weights file is not here"):
        full.Run(codec, RECIPE, _features)


def test_the_package_has_its_recipe() -> None:
    own = recipe.load_as(BaseRecipe, "full", recipe.FOLDER / "tasks")
    assert (own.optimiser, own.turn, own.crop) == ("adam", False, 256)
