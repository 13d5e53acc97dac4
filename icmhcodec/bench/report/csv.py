"""The rows of a report as CSV: one line per point of a curve, one column per metric."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIXED = ("curve", "codec", "profile", "task", "point", "bpp", "bytes")
COST = ("encode_s", "decode_s", "encode_fps", "decode_fps", "peak_mb")


def write(path: str | Path, report: Mapping[str, Any]) -> None:
    """Write the rows of a report (`summary.summarise`) to a CSV file; unknown values are empty."""
    metrics = list(dict.fromkeys(name for row in report["rows"] for name in row["metrics"]))
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        costs = [name for name in COST if any(name in row for row in report["rows"])]
        writer.writerow([*FIXED, *metrics, *costs])
        for row in report["rows"]:
            values = [row["metrics"].get(name) for name in metrics]
            writer.writerow([*(row[k] for k in FIXED), *values, *(row[k] for k in costs)])
