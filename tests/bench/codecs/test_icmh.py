from __future__ import annotations

import numpy as np
import pytest
from safetensors.torch import save_file

from icmhcodec import container, modelfile
from icmhcodec.adapters import bundles
from icmhcodec.bench import codecs, engine
from icmhcodec.bench.codecs import icmh
from icmhcodec.bench.contract import HUMAN, Resources
from icmhcodec.codecs import zoo
from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.tasks import contract
from tests.bench.codecs.conftest import psnr
from tests.pipeline.conftest import random_bundle


def profiles(spec, tasks):
    return {c.profile: c for c in codecs.create(spec, tasks=tasks, resources=Resources(1))}


def test_the_plain_codec(pixels):
    (codec,) = codecs.create("icmh:test-tiny", resources=Resources(1))
    assert (codec.name, codec.profile, codec.views) == ("icmh:test-tiny", "plain", (HUMAN,))
    files = [codec.encode(pixels, point) for point in (0.0, 9.0)]
    pictures = [codec.decode(codec.cut(data, HUMAN), HUMAN).pixels for data in files]
    assert container.parse(files[1]).header.groups[0].quality == 9 * 256
    assert len(files[0]) < len(files[1])
    assert pictures[0].shape == pixels.shape
    assert psnr(pictures[0], pixels) < psnr(pictures[1], pixels)


def test_profiles_are_those_that_have_bundles():
    assert set(profiles("icmh", [])) == {"plain"}
    assert set(profiles("icmh", ["no-such-task"])) == {"plain"}
    found = profiles("icmh", ["det", "no-such-task"])
    assert {"plain", "scalable"} <= set(found)
    assert found["scalable"].views == ("det", HUMAN)


def test_a_scalable_file_serves_both_readers(pixels):
    found = profiles("icmh", ["det"])
    scalable, plain = found["scalable"], found["plain"]
    data = scalable.encode(pixels, 3.0)
    part = scalable.cut(data, "det")
    assert scalable.cut(data, HUMAN) == data
    assert part == container.split(data, ["det"])
    assert len(part) < len(data)
    human = scalable.decode(data, HUMAN).pixels
    np.testing.assert_array_equal(human, plain.decode(plain.encode(pixels, 3.0), HUMAN).pixels)
    assert scalable.decode(part, "det").pixels.shape == pixels.shape


def test_the_identity_has_the_fingerprints_of_all_weights():
    found = profiles("icmh", ["det"])
    plain, scalable = found["plain"].identity(), found["scalable"].identity()
    assert plain["base"].startswith("mbt2018-mean-gain-1 ")
    assert scalable["det predictor"].startswith("det-")
    assert scalable.items() > plain.items()
    assert {"icmh", "torch", "precision"} <= plain.keys()


def test_a_profile_without_bundles_is_refused():
    with pytest.raises(MissingWeightsError, match=r"no machine bundle for det on test-tiny"):
        codecs.create("icmh:test-tiny:machine", tasks=["det"])
    with pytest.raises(MissingWeightsError, match=r"no scalable bundle for no task"):
        codecs.create("icmh:scalable")
    with pytest.raises(MissingWeightsError, match="unheard-of is not known"):
        codecs.create("icmh:unheard-of")


def test_the_machine_profile(monkeypatch, tmp_path, pixels):
    """A bundle of the profile in the user's folder makes it a codec; the file has one reader."""
    monkeypatch.setenv("ICMH_DATA", str(tmp_path))
    (tmp_path / "models").mkdir()
    _machine_bundle(tmp_path / "models" / "toy.safetensors")
    machine = profiles("icmh:test-tiny", ["det"])["machine"]
    assert machine.views == ("det",)
    data = machine.encode(pixels, 4.0)
    assert machine.cut(data, "det") == data
    assert machine.decode(data, "det").pixels.shape == pixels.shape
    assert machine.identity()["det adapter"].startswith("det-0 ")


def _machine_bundle(path):
    import torch

    reference = icmh._reference("test-tiny")
    metadata = {
        "id": "det-0",
        "kind": "adapter",
        "task": "det",
        "profile": "machine",
        "base": reference.id,
        "base_fingerprint": reference.fingerprint.hex(),
    }
    save_file({"unused": torch.zeros(1)}, path, metadata)


@pytest.fixture
def bundles_of_all(monkeypatch, tmp_path):
    """Random bundles of three tasks in both profiles on the toy codec."""
    monkeypatch.setenv("ICMH_DATA", str(tmp_path))
    for seed, task in enumerate(("cls", "det", "seg")):
        for profile in ("scalable", "machine"):
            for file in random_bundle(task, seed, profile):
                modelfile.write(tmp_path / "bundle", file)
                bundles.add(tmp_path / "bundle")


@pytest.mark.usefixtures("bundles_of_all")
@pytest.mark.parametrize("task", ["cls", "det", "seg"])
def test_every_installed_bundle_is_a_curve(task):
    found = profiles("icmh:test-tiny", [task])
    assert {p: c.views for p, c in found.items()} == {
        "plain": (HUMAN,),
        "scalable": (task, HUMAN),
        "machine": (task,),
    }
    identities = [found[profile].identity() for profile in ("scalable", "machine")]
    assert [set(one) >= {f"{task} adapter"} for one in identities] == [True, True]
    assert identities[0][f"{task} adapter"] != identities[1][f"{task} adapter"]


@pytest.mark.usefixtures("bundles_of_all")
def test_a_layer_goes_to_any_network_of_its_task(monkeypatch):
    monkeypatch.setitem(contract.NETWORKS, "other", "tests.benchmarks.fake_network:load")
    bench = engine.prepare(["icmh:test-tiny"], "other")
    assert bench.network is not None
    assert (bench.network.name, bench.network.task) == ("fake", "det")
    assert bench.codecs["icmh:test-tiny/machine"].views == ("det",)


@pytest.mark.usefixtures("bundles_of_all")
def test_levels_are_codecs_of_their_own(pixels):
    low, high = (profiles(f"icmh:test-tiny:level{n}", ["det"]) for n in (1, 4))
    assert set(low) == {"scalable", "machine"}
    assert low["scalable"].name == "icmh:test-tiny:level1"
    headers = [
        container.parse(codec["scalable"].encode(pixels, 5.0)).header for codec in (low, high)
    ]
    assert [header.layers[0].level for header in headers] == [1, 4]
    assert headers[0].layers[0].symbols < headers[1].layers[0].symbols
    with pytest.raises(UsageError, match="at most one"):
        codecs.create("icmh:level1:level2", tasks=["det"])
    with pytest.raises(MissingWeightsError, match="no bundle for no task"):
        codecs.create("icmh:level1")


def test_a_family_of_fixed_rates_is_one_codec():
    (codec,) = codecs.create("icmh:mbt2018-mean")
    assert codec.points == tuple(float(q) for q in range(1, 9))
    assert set(codec._bases.values()) <= set(zoo.CHECKPOINTS)
    with pytest.raises(UsageError, match="has no point 9"):
        codec.encode(np.zeros((8, 8, 3), np.uint8), 9.0)
