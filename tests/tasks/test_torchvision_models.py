from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from icmhcodec.errors import MissingWeightsError
from icmhcodec.tasks import torchvision_models
from icmhcodec.tasks.contract import load_network

NAMES = ("resnet50", "faster-rcnn", "mask-rcnn", "deeplabv3")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    folder = tmp_path_factory.mktemp("torchvision")
    command = [sys.executable, "-m", "tests.tasks.torchvision_run", str(folder)]
    root = Path(__file__).resolve().parents[2]
    process = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert process.returncode == 0, process.stderr
    return {result["name"]: result for result in json.loads(process.stdout.splitlines()[-1])}


def test_published_names_carry_the_digits_of_the_hash():
    for name, file in torchvision_models.FILES.items():
        assert file.name.endswith(f"-{file.sha256}.pth")
        assert len(file.sha256) == 8
        assert file.url == f"https://download.pytorch.org/models/{file.name}"
        assert name in NAMES


def test_resnet(results):
    result = results["resnet50"]
    assert result["features"] == [[256, 8, 16], [512, 4, 8], [1024, 2, 4], [2048, 1, 2]]
    assert result["logits"] == [1, 1000]


def test_rcnn(results):
    result = results["mask-rcnn"]
    assert result["features"] == [[256, 8, 16], [256, 4, 8], [256, 2, 4], [256, 1, 2]]
    assert result["size"] == [80, 96]
    assert result["eps"] == [0.0]
    assert result["boxes"] > 0
    # boxes are in the pixels of the size that was asked for
    assert 48 < result["largest"][2] <= 96
    assert 40 < result["largest"][3] <= 80


def test_deeplab(results):
    result = results["deeplabv3"]
    assert result["features"] == [[1024, 4, 8], [2048, 4, 8]]
    assert result["shape"] == [80, 96]


def test_all_have_gradients_and_agree_with_themselves(results):
    for result in results.values():
        assert result["gradient"]
        assert result["agreement"] == pytest.approx(100)
        assert len(result["fingerprint"]) == 16


@pytest.mark.parametrize("name", NAMES)
def test_a_torchvision_that_does_not_load_is_one_line(name, monkeypatch):
    monkeypatch.setattr(torchvision_models.importlib, "import_module", broken)
    with pytest.raises(MissingWeightsError, match=r"does not load \(operator .* built for torch"):
        getattr(torchvision_models, f"load_{name.replace('-', '_')}")()


def test_no_torchvision_is_one_line(monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingWeightsError, match="needs torchvision, which does not load"):
        load_network("resnet50")


def broken(name):
    raise RuntimeError(f"operator torchvision::nms does not exist, says {name}")
