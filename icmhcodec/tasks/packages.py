"""Optional packages, imported where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from icmhcodec._compat import import_onnx2torch
from icmhcodec.errors import MissingWeightsError


def load(module: str, needed_by: str) -> Any:
    """An optional module of the extra "tasks"; MissingWeightsError where it is not installed."""
    try:
        if module == "onnx2torch":
            return import_onnx2torch()
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise MissingWeightsError(
            f"{needed_by} needs the package {package}; pip install 'icmhcodec[tasks]'"
        ) from error
