"""Imports compressai beside a torchvision that does not fit the installed torch."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType


def import_compressai() -> ModuleType:
    """The compressai package; ImportError where it is not installed.

    A torchvision built for another torch fails at import ("operator torchvision::nms does not
    exist") and takes compressai with it, which only lists the names of torchvision.transforms.
    Only then an empty torchvision stands in, for as long as compressai is imported.
    """
    with warnings.catch_warnings():
        # compressai's dependencies use what newer versions of torch call deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _import_compressai()


def _import_compressai() -> ModuleType:
    try:
        return importlib.import_module("compressai")
    except (ImportError, RuntimeError, OSError) as error:
        if getattr(error, "name", None) == "compressai":
            raise
    _forget("compressai")
    broken = _forget("torchvision")
    torchvision, transforms = ModuleType("torchvision"), ModuleType("torchvision.transforms")
    torchvision.transforms = transforms  # type: ignore[attr-defined]
    sys.modules.update({"torchvision": torchvision, "torchvision.transforms": transforms})
    try:
        return importlib.import_module("compressai")
    finally:
        _forget("torchvision")
        sys.modules.update(broken)


def _forget(package: str) -> dict[str, ModuleType]:
    """Take a package and its Python modules out of sys.modules, and return them.

    Extension modules stay: they can be loaded only once in a process.
    """
    names = [
        name
        for name, module in sys.modules.items()
        if name.split(".")[0] == package
        and not str(getattr(module, "__file__", "")).endswith(tuple(EXTENSION_SUFFIXES))
    ]
    return {name: sys.modules.pop(name) for name in names}
