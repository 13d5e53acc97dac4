"""Imports what needs torchvision beside one that does not fit the installed torch."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType


def import_compressai() -> ModuleType:
    """The compressai package, which only lists the names of torchvision.transforms.

    ImportError where it is not installed.
    """
    return _import("compressai", "transforms")


def import_onnx2torch() -> ModuleType:
    """The onnx2torch package, which computes with torchvision only what boxes are.

    ImportError where it is not installed.
    """
    return _import("onnx2torch", "ops", "roi_align")


def _import(package: str, used: str, *names: str) -> ModuleType:
    """The package, where torchvision fails with an empty one that has the module and names it uses.

    A torchvision built for another torch fails at import ("operator torchvision::nms does not
    exist") and takes what imports it along. Only then an empty torchvision stands in, for as long
    as the package is imported.
    """
    with warnings.catch_warnings():
        # dependencies use what newer versions of torch call deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module(package)
        except (ImportError, RuntimeError, OSError) as error:
            if getattr(error, "name", None) == package:
                raise
        _forget(package)
        broken = _forget("torchvision")
        torchvision, module = ModuleType("torchvision"), ModuleType(f"torchvision.{used}")
        setattr(torchvision, used, module)
        for name in names:
            setattr(module, name, None)
        sys.modules.update({"torchvision": torchvision, module.__name__: module})
        try:
            return importlib.import_module(package)
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
