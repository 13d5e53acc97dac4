from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from icmhcodec.bench.report.plot import color, dashes, inline, panels, write
from icmhcodec.bench.report.words import label
from icmhcodec.errors import UsageError


def test_png_and_svg(report: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "a.png", report)
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > image.height > 600
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 100
    write(tmp_path / "a.svg", report)
    text = (tmp_path / "a.svg").read_text()
    for name in ("AP50 (%)", "PSNR (dB)", "uncompressed", *map(label, ("icmh/scalable/det",))):
        assert name in text


def test_is_the_same_every_time(report: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        write(tmp_path / name, report)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_another_ending_is_an_error(report: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.svg"):
        write(tmp_path / "a.pdf", report)


def test_a_panel_has_the_curves_that_have_its_metric(report: dict[str, Any]) -> None:
    accuracy, psnr = inline(report, "AP50"), inline(report, "psnr")
    assert "AP50:avif@416/plain/det" in accuracy
    assert "AP50:icmh/scalable/det" in accuracy
    assert "psnr:avif@416/plain/det" not in psnr  # of another size
    assert "psnr:icmh/scalable/det" not in psnr  # not made to be looked at
    assert "psnr:icmh/plain/human" in psnr


def test_panels_without_a_network(report: dict[str, Any]) -> None:
    rows = [row | {"metrics": {"psnr": 30.0, "ms_ssim_db": 10.0}} for row in report["rows"]]
    assert panels(report | {"rows": rows}) == ["psnr", "ms_ssim_db"]
    assert panels(report) == ["AP50", "agreement", "psnr"]


def test_a_codec_has_one_colour_everywhere() -> None:
    assert color("avif@416/plain/det") == color("avif/plain/human")
    assert color("unheard-of/plain/human") == color("unheard-of@9/plain/human")
    assert len({color(f"{name}/plain/human") for name in ("jpeg", "webp", "avif", "jxl")}) == 4
    assert [dashes(c) for c in ("jpeg/plain/human", "jpeg@416/plain/det")] == ["-", "--"]
