from __future__ import annotations

import json
from pathlib import Path

from .conftest import Run, sample


def test_sound_files_and_parts(run: Run, icm: Path) -> None:
    run("split", icm, "--task", "det")
    result = run("verify", ".")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "photo.det.icm: intact, without layer 1 human, 1 of 1 ancillary chunks",
        "photo.icm: intact",
    ]


def test_damage_is_found_and_named(run: Run, icm: Path) -> None:
    altered = bytearray(sample())
    altered[-20] ^= 1
    Path("bad.icm").write_bytes(altered)
    assert run("verify", "bad.icm").exit_code == 3
    result = run("verify", "bad.icm", icm)
    assert result.exit_code == 1
    assert "icmh: bad.icm: damaged" in result.stderr
    assert f"{icm}: intact" in result.stdout


def test_json(run: Run, icm: Path) -> None:
    found = json.loads(run("verify", "--json", icm).stdout)
    assert found == {"file": str(icm), "damage": [], "missing": []}


def test_full_decodes(run: Run, photo: Path, icm: Path) -> None:
    run("encode", photo, "-o", "good.icm", "--base", "test-tiny")
    assert run("verify", "--full", "good.icm").exit_code == 0
    assert run("verify", icm).exit_code == 0
    assert run("verify", "--full", icm).exit_code != 0
