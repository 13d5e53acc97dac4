from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks import other_networks
from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.codecs import registry
from icmhcodec.tasks import contract
from icmhcodec.tasks.contract import DEFAULT_NETWORKS
from tests.pipeline.conftest import random_bundle


@pytest.fixture
def run(photos, tmp_path, monkeypatch):
    """Measures a network of no weights on two small pictures; gives the results."""
    monkeypatch.setitem(contract.NETWORKS, "fake", "tests.benchmarks.fake_network:load")
    monkeypatch.setenv("ICMH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(other_networks, "CASES", {"det": ("fake", photos.name)})
    for profile in ("scalable", "machine"):
        for model in random_bundle("det", 0, profile):
            modelfile.write(tmp_path / "bundle", model)
            bundles.add(tmp_path / "bundle")

    def measured(*arguments):
        output = tmp_path / "results.json"
        command = ["--data", photos.parent, "--output", output, "--base", "test-tiny", *arguments]
        result = CliRunner().invoke(other_networks.main, [str(each) for each in command])
        return result, json.loads(output.read_text()) if output.exists() else None

    return measured


def test_each_task_has_a_network_that_bundles_are_not_trained_for():
    for task, (network, _) in other_networks.CASES.items():
        assert network != DEFAULT_NETWORKS[task]
    assert set(other_networks.bases("det")) & set(registry.names())
    assert other_networks.bases("no-such-task") == []


def test_layers_are_compared_with_the_picture_of_the_base_codec(run, photos):
    result, found = run("--points", "0,4,9", "--", "--resamples", "10")
    assert result.exit_code == 0, result.output
    (one,) = found["measured"]
    assert (one["base"], one["task"], one["network"]["id"]) == ("test-tiny", "det", "fake")
    layers = [f"icmh:test-tiny/{profile}/det" for profile in ("scalable", "machine")]
    plain = "icmh:test-tiny/plain/human"
    assert {row["curve"] for row in one["rows"]} == {"original", plain, *layers}
    assert {name for row in one["rows"] for name in row["metrics"]} == {"AP", "agreement"}
    compared = [(entry["curve"], entry["anchor"], entry["metric"]) for entry in one["bd"]]
    assert sorted(compared) == sorted(
        (layer, plain, metric) for layer in layers for metric in ("AP", "agreement")
    )
    assert all("det adapter" in one["fingerprints"][f"icmh:test-tiny/{p}"]
               for p in ("scalable", "machine"))  # fmt: skip
    assert str(photos.parent) not in json.dumps(found)


def test_a_run_that_fails_writes_nothing(run):
    result, found = run("--", "--seed", "none")
    assert result.exit_code == 2
    assert found is None
