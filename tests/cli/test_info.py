from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Run, lines, sample


def test_bytes_add_up_to_the_file(run: Run, icm: Path) -> None:
    result = run("info", icm)
    assert result.exit_code == 0
    costs, makers, rest = result.stdout.split("\n\n")
    rows = [line.split() for line in costs.splitlines()[2:]]
    sizes = [int(row[3 if row[0] == "hyper" else 2].replace(",", "")) for row in rows]
    offsets = [int(row[2 if row[0] == "hyper" else 1].replace(",", "")) for row in rows]
    assert sum(sizes) == icm.stat().st_size
    assert offsets == [sum(sizes[:n]) for n in range(len(sizes))]
    assert [row[0] for row in rows] == ["header", "hyper", "det:2", "exif", "human"]
    assert int(rows[2][-1].replace(",", "")) == offsets[3]
    assert int(rows[4][-1].replace(",", "")) == icm.stat().st_size
    assert "derived mask, predictor det-0 (not here), adapter det-0 (not here)" in makers
    assert rest.startswith("header and frames: ")
    assert max(map(len, result.stdout.splitlines()[1:])) <= 80


def test_what_is_here_is_told_from_what_is_not(run: Run, photo: Path) -> None:
    run("encode", photo, "--task", "det", "-o", "x.icm")
    said = run("info", "x.icm").stdout
    assert "derived mask, predictor det-1, adapter det-1 (decoder)" in said
    assert ", scalable, " in said.splitlines()[0]


def test_json(run: Run, icm: Path) -> None:
    found = json.loads(run("info", "--json", icm).stdout)
    assert found["file"] == str(icm)
    assert found["bytes"] == icm.stat().st_size
    det = found["layers"][0]
    assert det["bits"] == 8 * det["bytes"]
    assert det["fill"] == 50 / 192
    assert det["end"] == det["offset"] + det["bytes"] == det["needs"]
    assert found["profile"] == "scalable"
    assert det["adapter"]["installed"] is False
    assert det["task_adapter"] is None


def test_what_a_part_has_not_is_said(run: Run, icm: Path) -> None:
    run("split", icm, "--task", "det")
    result = run("info", "photo.det.icm")
    assert result.exit_code == 0
    assert "not in this part: layer 1 human" in result.stdout


def test_a_truncated_file_shows_what_is_intact(run: Run, icm: Path) -> None:
    icm.write_bytes(sample()[:-5])
    result = run("info", icm)
    assert result.exit_code == 3
    assert "\ndet:2 " in result.stdout
    assert len(lines(result)) == 1
    assert lines(result)[0].startswith(f"icmh: {icm}: truncated")


def test_stdin(run: Run) -> None:
    assert "64x64 RGB" in run("info", "-", stdin=sample()).stdout


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"", 3, "is empty"),
        (b"text", 3, "not an .icm file"),
        (sample()[:20], 3, "truncated"),
        (sample()[:8] + b"\x02" + sample()[9:], 5, "update icmh"),
        (sample()[:40] + b"\xff" + sample()[41:], 3, "damaged"),
    ],
)
def test_each_wrong_kind_has_its_line(run: Run, data: bytes, code: int, message: str) -> None:
    Path("x.icm").write_bytes(data)
    result = run("info", "x.icm")
    assert result.exit_code == code
    assert result.stdout == ""
    assert len(lines(result)) == 1
    assert "x.icm" in result.stderr
    assert message in result.stderr


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_altered_files_never_surprise(run: Run, data: st.DataObject) -> None:
    altered = bytearray(sample())
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    for command in ("info", "verify"):
        result = run(command, "-", stdin=bytes(altered[: data.draw(st.integers(1, 400))]))
        assert result.exit_code in (0, 3, 5)
        assert "internal error" not in result.stderr
