from __future__ import annotations

import json
import sys

import pytest

from icmhcodec.cli.tables import print_json, print_table

COLUMNS = ("name", ">bytes", "note")
ROWS = [["a", "1", "x"], ["long", "1,000", ""]]


def test_plain(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, ROWS)
    assert capsys.readouterr().out == "name  bytes  note\na         1  x\nlong  1,000\n"


def test_rich_cuts_no_number_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    print_table(COLUMNS, [["detection", "1,000,000", "a long remark [red]"]])
    out = capsys.readouterr().out
    assert "1,000,000" in out
    assert "detection" in out
    assert "[red]" in out


def test_json_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1, 2]})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"a": [1, 2]}
