from __future__ import annotations

import sys

import pytest

from icmhcodec.errors import MissingWeightsError
from icmhcodec.tasks import packages


def test_a_module_that_is_there_is_given():
    assert packages.load("json.decoder", "this test") is sys.modules["json.decoder"]


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingWeightsError, match=r"my\.onnx needs the package onnxruntime; pip"):
        packages.load("onnxruntime", "my.onnx")
