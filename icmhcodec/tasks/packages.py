"""Optional packages, imported where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from icmhcodec.errors import MissingWeightsError


def load(module: str, needed_by: str) -> Any:
    """An optional module of the extra "tasks"; MissingWeightsError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise MissingWeightsError(
            f"{needed_by} needs the package {package}; pip install 'icmhcodec[tasks]'"
        ) from error
