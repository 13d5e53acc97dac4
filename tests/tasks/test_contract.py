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
    with pytest.raises(UsageError, match="'seg'; known: det, yolox-nano"):
        contract.load_network("seg")


def test_missing_weights_are_an_error(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"yolox_nano\.onnx is not in"):
        contract.load_network("det", tmp_path)
