from __future__ import annotations

import json
from dataclasses import replace

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import adapters, common
from benchmarks.adapters import METHODS, USUAL, Plan
from icmhcodec.adapters.kinds import KINDS
from icmhcodec.codecs import registry
from icmhcodec.masks import kinds
from icmhcodec.pipeline.codec import DEFAULT_BASE
from icmhcodec.tasks import contract
from icmhcodec.training import loop
from icmhcodec.training.recipe import BaseRecipe
from tests.benchmarks.conftest import picture

SHORT = {"batch": 2, "crop": 64, "workers": 0, "steps": 2, "bfloat16": False}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Trainings of two steps on small pictures, for a network of no weights."""
    monkeypatch.setitem(contract.NETWORKS, "fake", "tests.benchmarks.fake_network:load")
    for name, count, side in (("photos", 3, 192), ("data", 2, 96)):
        (tmp_path / name).mkdir()
        for number in range(count):
            pixels = picture(side, side, number + 10 * (name == "data"))
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "work" / "data"))
    return Plan("test-tiny", "fake", tmp_path / "photos", tmp_path / "work", 1.0, SHORT)


def test_every_method_has_a_recipe_of_equal_length():
    plan = Plan(DEFAULT_BASE, "det", common.ROOT, common.ROOT, 7.0)
    recipes = {method: plan.recipe(method) for method in METHODS}
    assert {recipe.minutes for recipe in recipes.values()} == {7.0}
    assert [name for name, r in recipes.items() if isinstance(r, BaseRecipe)] == ["full"]
    layered = [recipe for recipe in recipes.values() if not isinstance(recipe, BaseRecipe)]
    assert {recipe.kind for recipe in layered} >= {*KINDS} - {"video"}
    assert {recipe.predictor for recipe in layered} == {"none", *kinds.KINDS}
    assert set(USUAL) < set(METHODS)


def test_methods_are_trained_measured_and_put_into_a_table(plan, tmp_path, monkeypatch):
    methods = ["sfma", "predictor-sfma", "channels"]
    output, page = tmp_path / "adapters.json", tmp_path / "adapters.md"
    arguments = (tmp_path / "data", output, page, None, [0.0, 3.0, 6.0, 9.0], 10, 1, None)
    adapters.compare(plan, methods, *arguments)
    found = json.loads(output.read_text())
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == methods
    assert {row["steps"] for row in rows.values()} == {2}
    assert all(np.isfinite(row["times"]["decode_ms"]) for row in rows.values())
    curves = {row["curve"] for row in found["bench"]["rows"]} - {"original"}
    assert curves == {
        "base/plain/human",
        "sfma/machine/det",
        "predictor-sfma/scalable/det",
        "channels/scalable/det",
    }
    codec = registry.load("test-tiny")
    channels = codec.encoder_channels + codec.decoder_channels
    sizes = [sum(p.numel() for p in KINDS["sfma"](c).parameters()) for c in channels]
    assert rows["sfma"]["parameters"] == sum(sizes)
    cost = {name: row["operations"] for name, row in rows.items()}
    assert cost["sfma"]["encoder"]["kmac_per_pixel"] > 0
    assert cost["sfma"]["decoder"]["fft_kflop_per_pixel"] > 0
    assert cost["sfma"]["predictor"]["kmac_per_pixel"] == 0
    assert cost["predictor-sfma"]["encoder"]["kmac_per_pixel"] == 0
    assert cost["predictor-sfma"]["predictor"]["kmac_per_pixel"] > 0
    assert cost["channels"]["decoder"]["kmac_per_pixel"] == 0
    text = page.read_text()
    assert all(f"| `{name}` |" in text for name in methods)
    assert "-56.17 %" in text
    # what is done is neither trained nor coded again
    monkeypatch.setattr(loop, "train", None)
    monkeypatch.setattr(adapters.LayerCodec, "encode", None)
    monkeypatch.setattr(adapters, "times", lambda *_: {n: r["times"] for n, r in rows.items()})
    with pytest.raises(KeyError, match="base"):  # times of the base codec, not given here
        adapters.compare(plan, methods, *arguments)


def test_a_stopped_training_goes_on(plan, monkeypatch):
    original, steps = loop.train, []

    def stopped(run, crops, folder, report, stop):
        steps.append(run.steps)
        original(run, crops, folder, report, lambda: len(steps) == 1)

    monkeypatch.setattr(loop, "train", stopped)
    with pytest.raises(click.exceptions.Exit):
        adapters.train(plan, "naive-64")
    assert not (plan.folder("naive-64") / adapters.DONE).exists()
    adapters.train(plan, "naive-64")
    assert steps == [0, 1]
    assert adapters.done(plan, "naive-64")["steps"] == 2


def test_a_training_of_another_recipe_is_not_taken_for_this(plan):
    adapters.train(plan, "channels")
    adapters.train(plan, "channels")
    with pytest.raises(click.ClickException, match="trained otherwise"):
        adapters.train(replace(plan, changes={**SHORT, "steps": 3}), "channels")


def test_an_unknown_method_is_named():
    result = CliRunner().invoke(adapters.main, ["sfma", "nothing"])
    assert result.exit_code == 2
    assert "no method nothing" in result.output


def test_full_fine_tuning_gives_a_codec_of_its_own(plan):
    plan = replace(plan, changes={**SHORT, "compile": False})
    adapters.train(plan, "full")
    bench = adapters.prepare(plan, ["full"], None)
    assert list(bench.codecs) == ["base/plain", "full/plain"]
    pixels = picture(64, 64)
    files = {name: codec.encode(pixels, 4.0) for name, codec in bench.codecs.items()}
    assert files["base/plain"] != files["full/plain"]
    shown = bench.codecs["full/plain"].decode(files["full/plain"], "human")
    assert shown.pixels.shape == pixels.shape
    assert adapters.done(plan, "full")["parameters"] > 1000
    cost = adapters.cost(plan, "full")
    assert cost["decoder"]["kmac_per_pixel"] == 0
