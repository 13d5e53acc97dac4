from __future__ import annotations

import json

from click.testing import CliRunner
from PIL import Image

from benchmarks import curves


def test_what_is_measured_is_drawn(tmp_path):
    arguments = ["--results", str(tmp_path), "--output", str(tmp_path / "a.png")]
    nothing = CliRunner().invoke(curves.main, arguments)
    assert nothing.exit_code == 1
    assert "none of rate.json" in nothing.output
    rows = [{"bpp": 0.2, "psnr": 28.0}, {"bpp": 0.9, "psnr": 34.0}, {"bpp": 2.5, "psnr": 39.0}]
    others = {"JPEG": {"bpp": [0.3, 1.0], "psnr": [27.0, 33.0]}}
    settings = {"codec": "base-1 00", "pictures": 3}
    results = {"settings": settings, "icmh": rows, "others": others}
    assert curves.own(results) == ("base-1", [0.2, 0.9, 2.5], [28.0, 34.0, 39.0])
    (tmp_path / "rate.json").write_text(json.dumps(results))
    done = CliRunner().invoke(curves.main, arguments)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 600
