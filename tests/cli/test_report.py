from __future__ import annotations

import click
import pytest

from icmhcodec.cli.report import describe
from icmhcodec.errors import (
    FormatError,
    IcmhError,
    MissingWeightsError,
    NewerVersionError,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (IcmhError("x"), 1),
        (UsageError("x"), 2),
        (FormatError("x"), 3),
        (MissingWeightsError("x"), 4),
        (NewerVersionError("x"), 5),
        (click.UsageError("x"), 2),
        (PermissionError(13, "Permission denied", "a.png"), 1),
        (MemoryError(), 1),
        (KeyError("x"), 1),
    ],
)
def test_each_error_has_its_code_and_one_line(error: Exception, code: int) -> None:
    message, given = describe(error)
    assert given == code
    assert message
    assert "\n" not in message


def test_the_file_is_named_once() -> None:
    assert describe(FormatError("cut"), "a.icm")[0] == "a.icm: cut"
    assert describe(FormatError("a.icm is cut"), "a.icm")[0] == "a.icm is cut"


def test_lines_are_joined() -> None:
    assert describe(IcmhError("one\n  two"))[0] == "one two"
