from __future__ import annotations

import importlib

import pytest

from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.tasks import contract


def test_every_entry_names_a_loader():
    for entry in contract.NETWORKS.values():
        module, function = entry.split(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_every_task_stands_for_a_registered_network():
    assert set(contract.DEFAULT_NETWORKS.values()) <= set(contract.NETWORKS)


@pytest.mark.parametrize("name", ["det", "yolox-nano"])
def test_a_network_is_found_by_task_and_by_name(network_file, name):
    network = contract.load_network(name, network_file)
    assert (network.name, network.task) == ("yolox-nano", "det")


def test_an_unknown_name_is_a_usage_error():
    with pytest.raises(UsageError, match=r"'pose'; known: cls, det, seg, .*yolox-nano.*\.toml"):
        contract.load_network("pose")


def test_missing_weights_are_an_error(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"yolox_nano\.onnx is not in"):
        contract.load_network("det", tmp_path)


@pytest.mark.parametrize("name", ["cls", "efficientnet-lite0", "det", "seg"])
def test_every_missing_file_is_one_line_that_names_it(name, tmp_path):
    with pytest.raises(MissingWeightsError, match=r"\.(pth|onnx) is not in .*; put it") as caught:
        contract.load_network(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_toml_file_stands_for_the_network_it_describes(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text('task = "cls"\nfile = "my.onnx"\n[input]\nsize = 8\n')
    with pytest.raises(MissingWeightsError, match=r"my\.onnx is not in .*ICMH_NETS"):
        contract.load_network(str(path))


def test_networks_have_what_the_contract_asks(network, classifier, segmenter):
    for one in (network, classifier, segmenter):
        assert one.task in contract.DEFAULT_NETWORKS
        assert contract.DEFAULT_NETWORKS[one.task] == one.name
        assert one.side > 0
        assert len(bytes.fromhex(one.fingerprint)) == 8
        assert not any(p.requires_grad for p in one.parameters())
