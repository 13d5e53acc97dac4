"""Names of codecs, bundles and tasks, and the codes that stand for them (formats/icm.md, 4.3)."""

from __future__ import annotations

import re

HUMAN = "human"

# A name's position is its code; code 0 says that the name follows.
CODECS = ("", "mbt2018-mean-gain-0", "test-tiny", "mbt2018-mean", "bmshj2018-hyperprior")
BUNDLES = ("", "det-0")
TASKS = ("", HUMAN, "cls", "det", "seg")

_NAME = re.compile(r"(?!.*\.\.)[a-z][a-z0-9.-]{0,63}")


def valid_name(name: str) -> bool:
    """Whether a name can stand in a file: a letter, then [a-z0-9.-], no two dots, at most 64."""
    return _NAME.fullmatch(name) is not None
