from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import check_bench
from icmhcodec.bench import codecs
from tests.benchmarks.conftest import picture

SIZES = ((64, 96), (80, 64))
POINTS = (10.0, 70.0)


@pytest.fixture
def folder(tmp_path):
    for height, width in SIZES:
        Image.fromarray(picture(height, width)).save(tmp_path / f"{height}.png")
    return tmp_path


@pytest.fixture
def report(folder):
    """What the bench would report: its own codecs, rows summed up as it does."""
    pictures = [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    rows = []
    for name in check_bench.CODECS:
        (codec,) = codecs.create(name)
        for point in POINTS:
            files = [codec.encode(pixels, point) for pixels in pictures]
            decoded = [codec.decode(data, "human").pixels for data in files]
            errors = [np.mean((p / 1.0 - d) ** 2) for p, d in zip(pictures, decoded, strict=True)]
            row = {"curve": f"{name}/plain/human", "point": point}
            row["bpp"] = 8 * sum(map(len, files)) / sum(h * w for h, w in SIZES)
            row["metrics"] = {"psnr": float(np.mean(-10 * np.log10(np.divide(errors, 255**2))))}
            rows.append(row)
    rows.append({"curve": "icmh/plain/human", "point": 3.0, "bpp": 1.0, "metrics": {"psnr": 1.0}})
    return {"dataset": {"images": len(SIZES)}, "rows": rows}


def check(folder, report, *arguments):
    path = folder / "bench.json"
    path.write_text(json.dumps(report))
    return check_bench.main([str(folder), "--report", str(path), *arguments])


def test_the_bench_agrees(folder, report, capsys):
    assert check(folder, report) == 0
    assert "6 rows checked, 0 differences" in capsys.readouterr().out


@pytest.mark.parametrize(("key", "change"), [("bpp", 1e-6), ("psnr", 0.002)])
def test_a_difference_fails(folder, report, capsys, key, change):
    row = report["rows"][3]
    (row if key == "bpp" else row["metrics"])[key] += change
    assert check(folder, report) == 1
    assert "webp/plain/human at 70" in capsys.readouterr().out


def test_another_set_of_pictures_is_refused(folder, report):
    report["dataset"]["images"] = 3
    with pytest.raises(SystemExit, match="has 3 pictures, the folder has 2"):
        check(folder, report)


def test_a_report_without_its_codecs_is_refused(folder, report):
    del report["rows"][:-1]
    with pytest.raises(SystemExit, match="has no row"):
        check(folder, report)


def test_without_a_report_rows_are_written(folder, monkeypatch):
    monkeypatch.setattr(check_bench, "QUALITIES", (30,))
    output = folder / "check.json"
    assert check_bench.main([str(folder), "--output", str(output)]) == 0
    rows = json.loads(output.read_text())
    assert [row["curve"].partition("/")[0] for row in rows] == list(check_bench.CODECS)
    assert all(row["bpp"] > 0 and row["psnr"] > 20 for row in rows)
