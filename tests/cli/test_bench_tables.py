from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from icmhcodec.bench.report.words import percent
from icmhcodec.cli.bench_tables import show
from tests.bench import synthetic


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return synthetic.report()


def printed(report: dict[str, Any], width: int = 160) -> str:
    file = io.StringIO()
    show(report, Console(file=file, width=width))
    return file.getvalue()


def test_shows_points_rates_and_failures(report: dict[str, Any]) -> None:
    text = printed(report)
    assert "10 pictures" in text
    for row in report["rows"]:
        assert f"{row['bpp']:.4f}" in text
    for found in report["bd"]:
        if found["metric"] == "AP50":
            assert percent(found["bd_rate_percent"]) in text
    assert "<script>" in text  # told as it is, not read as markup
    assert "icmh scalable det" in text


def test_says_when_nothing_can_be_compared(report: dict[str, Any]) -> None:
    alone = report | {
        "bd": [],
        "rows": [row for row in report["rows"] if "jpeg" in row["curve"]],
        "settings": report["settings"] | {"anchors": ["jpeg/plain/human"]},
    }
    assert "no second curve" in printed(alone)
