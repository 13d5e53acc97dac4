from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from benchmarks import limits, tables
from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.entropy.tables import scale_table
from icmhcodec.tasks import contract
from icmhcodec.tasks.contract import DEFAULT_NETWORKS
from icmhcodec.training.latents import Latent
from tests.benchmarks.conftest import picture
from tests.pipeline.conftest import random_bundle


def latent(symbols, bits, coded):
    zeros = torch.zeros_like(symbols)
    index = torch.full_like(symbols, 20, dtype=torch.long)
    return Latent(symbols, zeros, index, bits, coded, torch.ones(1, 1, 1, 1), torch.zeros(1))


def test_expectations_are_those_of_rounded_gaussians():
    square, bits = limits.expected()
    scale = torch.tensor(scale_table())
    wide = slice(20, 40)  # where rounding only adds its own variance
    assert torch.allclose(square[wide], scale[wide] ** 2 + 1 / 12, rtol=1e-3)
    entropy = 0.5 * torch.log2(2 * torch.pi * torch.e * (scale[wide] ** 2 + 1 / 12))
    assert torch.allclose(bits[wide], entropy, atol=0.01)
    assert (bits.diff() > 0).all()


def test_a_chosen_mask_takes_the_best_that_the_bits_of_the_other_pay_for():
    bits = torch.tensor([[1.0, 2.0, 3.0, 4.0]]).view(1, 1, 2, 2)
    coded = torch.tensor([[1.0, 1.0, 0.0, 1.0]]).view(1, 1, 2, 2)
    importance = torch.tensor([[5.0, 1.0, 9.0, 7.0]]).view(1, 1, 2, 2)
    mask = torch.tensor([[1.0, 0.0, 0.0, 1.0]]).view(1, 1, 2, 2)
    found = limits.chosen_mask(latent(bits * 0 + 1, bits, coded), importance, mask)
    assert found.flatten().tolist() == [1.0, 0.0, 0.0, 1.0]  # 5 bits, and nothing that is skipped


@pytest.fixture
def results(tmp_path, monkeypatch):
    """What is measured of bundles of no weights, under a network of none, on two crops."""
    monkeypatch.setitem(
        contract.NETWORKS, DEFAULT_NETWORKS["det"], "tests.benchmarks.fake_network:load"
    )
    monkeypatch.setattr(limits, "DATA", {"det": tmp_path / "photos"})
    monkeypatch.setattr(limits, "SIDE", 128)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.fromarray(picture(100 + 40 * number, 160, number)).save(
            tmp_path / "photos" / f"{number}.png"
        )
    for profile in ("scalable", "machine"):
        for model in random_bundle("det", 0, profile):
            modelfile.write(tmp_path / "bundle", model)
            bundles.add(tmp_path / "bundle")
    output = tmp_path / "limits.json"
    command = f"--base test-tiny --tasks det --batches 2 --batch 1 --output {output}"
    result = CliRunner().invoke(limits.main, command.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(output.read_text())


def test_each_version_of_a_layer_is_measured_beside_the_base_codec(results):
    scalable, machine = results["bundles"]
    assert [b["profile"] for b in results["bundles"]] == ["scalable", "machine"]
    for row in scalable["rows"].values():
        assert row["mask alone"]["bpp"] == row["layer"]["bpp"]  # adapters cost no bits
        assert row["adapters alone"]["bpp"] == row["base"]["bpp"] >= row["layer"]["bpp"]
        assert row["mask of the features alone"]["bpp"] <= row["mask alone"]["bpp"]
        assert 0 < row["layer"]["fill"] < 1 == row["base"]["fill"]
    for row in machine["rows"].values():  # there is no predictor: a latent of its own, whole
        assert row["layer"]["fill"] == 1
        assert row["mask alone"] == row["base"]
        assert row["mask of the features alone"]["fill"] == 1
        assert row["layer"] == row["adapters alone"]
    assert len(machine["parts"]) == 1 < len(scalable["parts"])


def test_the_results_make_a_table(results):
    said = "\n".join(tables.tasks.limits(results))
    assert "| `det-7` scalable |" in said
    assert said.count("`det-7` machine") == 2
