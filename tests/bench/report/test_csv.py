from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from icmhcodec.bench.report.csv import write


def test_one_line_for_each_point(report: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "a.csv", report)
    with (tmp_path / "a.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(report["rows"])
    for line, row in zip(lines, report["rows"], strict=True):
        assert line["curve"] == row["curve"]
        assert float(line["bpp"]) == row["bpp"]
        assert float(line["AP50"]) == row["metrics"]["AP50"]
    assert lines[0]["psnr"] == ""  # infinite
    shrunk = next(line for line in lines if line["codec"] == "avif@416")
    assert shrunk["ms_ssim"] == ""
