"""What the benchmarks share: pictures, results files, the machine, a layer to measure with."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from icmhcodec.adapters import bundles
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.pipeline.networks import reference_of

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
KODAK = ROOT.parent / "shared" / "data" / "kodak24"
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")

Pixels = npt.NDArray[np.uint8]


def pictures(folder: Path, limit: int | None = None) -> list[Path]:
    """The PNG files of a folder in order, or the first `limit` of them."""
    paths = sorted(folder.glob("*.png"))[:limit]
    if not paths:
        raise click.ClickException(f"{folder}: no PNG pictures here; name their folder")
    return paths


def read(path: Path) -> Pixels:
    """Pixels [H,W,3] of a picture."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def psnr(first: Pixels, second: Pixels) -> float:
    """Peak signal-to-noise ratio in dB over all three channels."""
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return math.inf if error == 0 else float(10 * math.log10(255**2 / error))


def layered_options(codec: BaseCodec, task: str, pixels: Pixels) -> dict[str, Any]:
    """What to encode with for a file of one task layer, a stand-in where the task has no bundle.

    The stand-in is an explicit mask over the middle quarter of the picture.
    """
    if has_bundle(codec, task):
        return {"tasks": [task]}
    return {"tasks": [task], "masks": {task: middle_quarter(pixels)}}


def middle_quarter(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """A mask [H,W] over the middle quarter of a picture."""
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = True
    return mask


def has_bundle(codec: BaseCodec, task: str) -> bool:
    return bundles.find("predictor", task, reference_of(codec), "scalable") is not None


def weights(codec: BaseCodec, task: str) -> dict[str, str]:
    """Which weights were measured: ids with fingerprints."""
    found = {"codec": reference_of(codec)}
    for kind in bundles.KINDS:
        if (bundle := bundles.find(kind, task, found["codec"], "scalable")) is not None:
            found[kind] = bundle[1]
    named = {kind: f"{item.id} {item.fingerprint.hex()}" for kind, item in found.items()}
    return named if "predictor" in named else named | {"predictor": "none: an explicit mask"}


def machine() -> dict[str, Any]:
    """The processor, what it can do, and the versions that matter for speed and kernels."""
    lines = _cpuinfo()
    flags = lines.get("flags", "").split()
    return {
        "cpu": lines.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "features": [feature for feature in CPU_FEATURES if feature in flags],
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def rounded(value: Any, digits: int = 5) -> Any:
    """The same data with floats of so many significant digits; null where there is no number."""
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value


def write_json(path: Path, results: dict[str, Any]) -> None:
    """Write results beside the target, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(rounded(results), indent=1, allow_nan=False) + "\n")
    part.replace(path)


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan


def numbers(_: Any, __: Any, text: str) -> list[float]:
    """A click callback: numbers with commas between them."""
    try:
        return [float(part) for part in text.split(",") if part]
    except ValueError:
        raise click.BadParameter(f"numbers with commas between them, not {text!r}") from None
