"""Names of codecs, bundles and tasks, and the codes that stand for them (formats/icm.md, 4.3)."""

from __future__ import annotations

import re

HUMAN = "human"

Version = tuple[int, int]  # major, minor
Table = dict[Version, tuple[str, ...]]

# The names that a version gave codes: 1, 2, ... in their order, going on from version to version.
STABLE = (1, 0)
CODECS: Table = {
    STABLE: ("mbt2018-mean-gain-0", "test-tiny", "mbt2018-mean", "bmshj2018-hyperprior"),
    (1, 1): ("mbt2018-mean-gain-1", "dvc-1", "fvc-1"),
}
BUNDLES: Table = {STABLE: ("det-0",), (1, 1): ("det-1", "cls-1", "seg-1")}
TASKS: Table = {STABLE: (HUMAN, "cls", "det", "seg")}

_NAME = re.compile(r"(?!.*\.\.)[a-z][a-z0-9.-]{0,63}")


def valid_name(name: str) -> bool:
    """Whether a name can stand in a file: a letter, then [a-z0-9.-], no two dots, at most 64."""
    return _NAME.fullmatch(name) is not None


def names_by_code(table: Table, version: Version) -> tuple[str, ...]:
    """The names of a table at their codes in a file of a version; at 0, where one follows, none."""
    known = max(version, STABLE)  # files of version 0.1 are read as those of 1.0
    return ("", *(name for since, names in table.items() if since <= known for name in names))


def version_of(table: Table, name: str) -> Version:
    """The version from which on a name is written as a code; 1.0 if it has none."""
    return next((since for since, names in table.items() if name in names), STABLE)
