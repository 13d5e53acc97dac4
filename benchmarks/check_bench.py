"""JPEG, WebP and AVIF coded again with nothing but Pillow and numpy, to check `icmh bench` with.

Bits per pixel are the sum of bits over the sum of pixels, PSNR the mean of the pictures' own, over
all RGB samples. With a report of `icmh bench FOLDER --json` the points are those of its rows, and
the exit status is 1 where a row differs: bits per pixel at all, PSNR by more than 0.001 dB.

    python benchmarks/check_bench.py FOLDER [--report bench.json] [--output check.json]
"""

import argparse
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

CODECS = {
    "jpeg": ("JPEG", {"optimize": True, "subsampling": "4:2:0"}),
    "webp": ("WEBP", {"method": 6}),
    "avif": (
        "AVIF",
        {"speed": 6, "subsampling": "4:2:0", "autotiling": False, "max_threads": 1},
    ),
}
QUALITIES = (10, 30, 50, 70, 85)
ENDINGS = {".png", ".jpg", ".jpeg", ".webp"}
TOLERANCE = 0.001  # dB


def read(folder):
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS)
    if not paths:
        sys.exit(f"{folder}: no pictures here")
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def code(name, pixels, quality):
    """Size in bytes and PSNR of one picture."""
    file_format, settings = CODECS[name]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, quality=quality, **settings)
    decoded = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    error = np.mean((pixels.astype(np.float64) - decoded) ** 2)
    return len(file.getvalue()), 10 * math.log10(255**2 / error) if error else math.inf


def row(name, pictures, quality):
    sizes, psnrs = zip(*(code(name, pixels, quality) for pixels in pictures), strict=True)
    area = sum(pixels.shape[0] * pixels.shape[1] for pixels in pictures)
    return {
        "curve": f"{name}/plain/human",
        "point": quality,
        "bpp": 8 * sum(sizes) / area,
        "psnr": sum(psnrs) / len(psnrs),
    }


def reported(path, count):
    """Rows of the report to check, by curve and point."""
    report = json.loads(path.read_text())
    if report["dataset"]["images"] != count:
        sys.exit(f"{path}: has {report['dataset']['images']} pictures, the folder has {count}")
    curves = {f"{name}/plain/human": name for name in CODECS}
    rows = {(curves[r["curve"]], r["point"]): r for r in report["rows"] if r["curve"] in curves}
    return rows or sys.exit(f"{path}: has no row of {', '.join(curves)}")


def differences(own, other):
    """What differs between a row of this script and one of the report, a line each."""
    place = f"{own['curve']} at {own['point']}"
    if not math.isclose(own["bpp"], other["bpp"], rel_tol=1e-12):
        yield f"{place}: {other['bpp']} bpp in the report, {own['bpp']} here"
    psnr = other["metrics"]["psnr"]
    if psnr is None or abs(own["psnr"] - psnr) > TOLERANCE:
        yield f"{place}: {psnr} dB in the report, {own['psnr']} here"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--report", type=Path, help="JSON of icmh bench over the same folder")
    parser.add_argument("--output", type=Path, help="write the rows as JSON")
    options = parser.parse_args(arguments)
    pictures = read(options.folder)
    known = reported(options.report, len(pictures)) if options.report else {}
    wanted = known or [(name, quality) for name in CODECS for quality in QUALITIES]
    rows, found = [], []
    for name, point in wanted:
        own = row(name, pictures, int(point))
        print(f"{own['curve']:18} {own['point']:3} {own['bpp']:8.4f} bpp {own['psnr']:7.3f} dB")
        rows.append(own)
        if known:
            found += differences(own, known[name, point])
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n")
    print(*found, sep="\n", end="\n" if found else "")
    if known:
        print(f"{len(rows)} rows checked, {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
