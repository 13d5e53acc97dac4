from __future__ import annotations

from pathlib import Path

import pytest
import torch

from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.codecs import registry
from icmhcodec.container import Reference
from icmhcodec.errors import UsageError
from icmhcodec.masks.light import LightNet
from icmhcodec.training.adapter import Start, start_with
from tests.pipeline.conftest import random_bundle

BASE = Reference("another-1", bytes(8))


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added stays out of the user's folder, and what is there out of the tests."""
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))


def test_a_packaged_bundle_is_found_by_name_and_by_task(tmp_path: Path) -> None:
    codec = registry.load("mbt2018-mean-gain-1")
    base = Reference(codec.id, codec.fingerprint)
    for name, profile in (("det-1", "machine"), ("cls", "scalable")):
        start = start_with(tmp_path / name, name, base, profile)
        assert start.name == f"{name.removesuffix('-1')}-1 {profile}"
        assert start.predictor == "light"
        assert "non-commercial" in start.licence
        sides = {key.split(".")[1] for key in start.weights if key.startswith("sides.")}
        assert sides == {"decoder", "encoder"} - ({"encoder"} if profile == "scalable" else set())
        assert all(value.is_floating_point() for value in start.weights.values())


def test_a_bundle_of_another_base_serves_where_there_is_no_other(tmp_path: Path) -> None:
    assert start_with(tmp_path / "x", "det-0", BASE, "scalable").name.startswith("det-0")
    with pytest.raises(UsageError, match="neither a run's folder nor a bundle"):
        start_with(tmp_path / "x", "pose-1", BASE, "scalable")


def test_a_folder_that_is_no_run_does_not_hide_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "det-1").mkdir()
    start = start_with(tmp_path / "det-1", "det-1", BASE, "machine")
    assert start.name == "det-1 machine"
    with pytest.raises(UsageError, match="no state of a training here"):
        start_with(tmp_path, "pose-1", BASE, "machine")


def test_a_predictor_of_another_kind_is_left_out(tmp_path: Path) -> None:
    weights = {"predictor.slope": torch.ones(4), "sides.b": torch.ones(1)}
    start = Start(weights, "x", "", "light")
    assert set(start.fitting("light", 4)) == {"predictor.slope", "sides.b"}
    assert set(start.fitting("icmh-net", 4)) == {"sides.b"}
    for model in random_bundle("pose", 0, kind="channels"):
        modelfile.write(tmp_path / "bundle", model)
        bundles.add(tmp_path / "bundle")
    begun = start_with(tmp_path / "none", "pose", BASE, "scalable")
    assert begun.predictor == "channels"
    assert not [key for key in begun.weights if key.startswith("predictor.")]


def test_a_light_predictor_is_widened_with_the_latent(tmp_path: Path) -> None:
    start = start_with(tmp_path / "x", "det-1", BASE, "scalable")
    fitting = start.fitting("light", 200)
    net, wide = LightNet(192), LightNet(200)
    for one, weights in ((net, start.weights), (wide, fitting)):
        names = {k: v for k, v in weights.items() if k.startswith("predictor.")}
        one.load_state_dict({k.removeprefix("predictor."): v for k, v in names.items()})
    mean, index = torch.randn(2, 200, 6, 6), torch.randint(0, 40, (2, 200, 6, 6))
    asked = torch.tensor([2.5, 9.0]), torch.tensor([1, 4]), torch.tensor([0, 3])
    with torch.no_grad():
        before = net(mean[:, :192], index[:, :192], *asked)
        after = wide(mean, index, *asked)
        assert torch.allclose(after[:, :192], before, atol=1e-4)
        index[:, 192:] += 8  # a step of the unit in which indexes enter
        steeper = wide(mean, index, *asked)
    assert torch.equal(steeper[:, :192], after[:, :192])
    rise = (steeper - after)[:, 192:]
    assert torch.allclose(rise, net.slope.detach().mean().expand_as(rise), atol=1e-4)
