"""What the benchmarks share: pictures, results files, the machine, a layer to measure with."""

from __future__ import annotations

import itertools
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

from icmhcodec import container
from icmhcodec.adapters import bundles
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.container import Reference
from icmhcodec.pipeline.networks import reference_of

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
KODAK = ROOT.parent / "shared" / "data" / "kodak24"
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")

Pixels = npt.NDArray[np.uint8]
Row = dict[str, Any]


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


def layered_options(codec: BaseCodec, tasks: Sequence[str], pixels: Pixels) -> dict[str, Any]:
    """What to encode with for a file of tasks' layers, stand-ins where a task has no bundle.

    The stand-in is an explicit mask over the middle quarter of the picture.
    """
    missing = [task for task in tasks if not has_bundle(codec, task)]
    masks = {task: middle_quarter(pixels) for task in missing}
    return {"tasks": list(tasks), "masks": masks} if masks else {"tasks": list(tasks)}


def middle_quarter(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """A mask [H,W] over the middle quarter of a picture."""
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = True
    return mask


def has_bundle(codec: BaseCodec, task: str, profile: str = "scalable") -> bool:
    """Whether a task's layers can be coded."""
    base = reference_of(codec)
    kinds = ("predictor",) if profile == "scalable" else bundles.KINDS
    return any(bundles.find(kind, task, base, profile) for kind in kinds)


def weights(codec: BaseCodec, tasks: Sequence[str]) -> dict[str, str]:
    """Which weights were measured: ids with fingerprints, of tasks in each profile."""
    base = reference_of(codec)
    named = {"codec": _named(base)}
    for task, profile, kind in itertools.product(tasks, ("scalable", "machine"), bundles.KINDS):
        if (bundle := bundles.find(kind, task, base, profile)) is not None:
            named[f"{task} {profile} {kind}"] = _named(bundle[1])
    for task in tasks:
        named.setdefault(f"{task} scalable predictor", "none: an explicit mask")
    return named


def _named(reference: Reference) -> str:
    return f"{reference.id} {reference.fingerprint.hex()}"


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


def share(rows: Sequence[Row], part: str, whole: str) -> float:
    """Sum of one value over that of another."""
    return float(sum(row[part] for row in rows) / sum(row[whole] for row in rows))


def mean_and_most(rows: Sequence[Row], key: str) -> Row:
    """Mean and largest value."""
    values = [row[key] for row in rows]
    return {"mean": mean(values), "most": max(values)}


def symbols(data: bytes) -> int:
    """Symbols of all layers of a file together."""
    return sum(layer.symbols for layer in container.parse(data).header.layers)


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
