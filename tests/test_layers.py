"""Imports point downwards only, and what must start fast imports no torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "icmhcodec"

# From the top down: a package imports from those below it, and from its own.
ORDER = [
    {"cli"},
    {"api", "pillow_plugin"},
    {"training"},
    {"bench"},
    {"pipeline"},
    {"codecs", "masks", "adapters", "tasks"},
    {"modelfile"},
    {"entropy"},
    {"_compat"},
    {"container", "imageio"},
    {"errors"},
]
RANK = {name: -row for row, names in enumerate(ORDER) for name in names}
LIGHT = {"cli", "container", "imageio", "errors", "pillow_plugin", "__init__", "api"}
# Who may import what comes from outside, where that is not everyone.
ONLY = {"compressai": {"_compat"}, "click": {"cli"}, "rich": {"cli"}, "construct": {"container"}}


def module_name(path: Path) -> str:
    parts = ["icmhcodec", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def area(module: str) -> str:
    """The package of icmhcodec, or the module directly in it, that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def imported(node: ast.AST) -> Iterator[str]:
    """What an import statement names, by full name."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield full if full in SOURCES else node.module


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported."""
    for node in ast.iter_child_nodes(tree):
        if is_type_checking(node) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        yield from at_import(node)


def test_every_part_of_the_package_has_its_place() -> None:
    assert {area(module) for module in SOURCES} - {"__init__"} <= set(RANK)


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_downwards(module: str) -> None:
    own = area(module)
    if own == "__init__":
        return
    for node in ast.walk(SOURCES[module]):
        for name in imported(node):
            if name.startswith("icmhcodec.") and area(name) != own:
                same_row = own in {"codecs", "masks", "adapters", "tasks"}
                allowed = RANK[area(name)] < RANK[own] + same_row
                assert allowed, f"{module}, line {getattr(node, 'lineno', '?')}: imports {name}"


def test_packages_of_one_row_do_not_import_each_other_in_turn() -> None:
    edges = {
        (area(module), area(name))
        for module, tree in SOURCES.items()
        for node in ast.walk(tree)
        for name in imported(node)
        if name.startswith("icmhcodec.") and area(name) != area(module) and area(module) in RANK
    }
    while True:
        longer = edges | {(a, d) for a, b in edges for c, d in edges if b == c}
        if longer == edges:
            break
        edges = longer
    assert not [a for a, b in edges if a == b]


@pytest.mark.parametrize("module", [name for name in SOURCES if area(name) in LIGHT])
def test_what_starts_fast_imports_no_torch(module: str) -> None:
    seen, left = set(), [module]
    while left:
        current = left.pop()
        if current in seen or current not in SOURCES:
            continue
        seen.add(current)
        names = [name for node in at_import(SOURCES[current]) for name in imported(node)]
        heavy = [n for n in names if n.split(".")[0] in {"torch", "compressai", "torchvision"}]
        assert not heavy, f"{module} imports {heavy[0]} through {current}"
        # importing a.b.c runs a and a.b too
        left += [".".join(n.split(".")[: k + 1]) for n in names for k in range(n.count(".") + 1)]


@pytest.mark.parametrize("library", ONLY)
def test_libraries_that_one_part_alone_uses(library: str) -> None:
    users = {
        area(module)
        for module, tree in SOURCES.items()
        for node in ast.walk(tree)
        for name in imported(node)
        if name.split(".")[0] == library
    }
    assert users <= ONLY[library]
