"""Observations as a run over a small detection set would give them, made from a formula."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from icmhcodec.bench.contract import Dataset, Decoded, Observation, Sample
from icmhcodec.bench.summary import summarise

# curve: bits against JPEG's at the same quality; accuracy that it reaches
CURVES = {
    "jpeg/plain/human": (1.0, 45.0),
    "jpeg@416/plain/det": (0.55, 42.0),
    "webp/plain/human": (0.75, 45.0),
    "avif/plain/human": (0.52, 45.0),
    "avif@416/plain/det": (0.30, 42.5),
    "jxl/plain/human": (0.62, 45.0),
    "icmh/plain/human": (0.6, 45.0),
    "icmh/scalable/det": (0.34, 43.5),
    "icmh/scalable/human": (0.61, 45.0),
    "icmh/machine/det": (0.26, 43.8),
    "icmh@416/machine/det": (0.20, 42.0),
    "simulcast:avif@416+icmh/simulcast/human": (0.9, 45.0),
}
QUALITIES = (0.15, 0.3, 0.5, 0.8, 1.3, 2.2)


class Network:
    """Stands in for a detector: an observation is the share of objects found."""

    name = "synthetic-detector"
    task = "det"
    fingerprint = "0123456789abcdef"
    side = 416
    multiple = 32

    def predict(self, picture: Any, size: tuple[int, int] | None = None) -> float:
        return float(np.asarray(picture).mean())

    def observe(self, prediction: Any, original: Any, truth: Any) -> dict[str, Any]:
        return {"found": prediction, "same": prediction / max(original, 1e-9)}

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        return {
            "AP50": 100 * float(np.mean([one["found"] for one in observations])),
            "agreement": 100 * float(np.mean([one["same"] for one in observations])),
        }


class Codec:
    """Stands in for a compared codec: Pillow's JPEG."""

    name = "jpeg"
    profile = "plain"
    views = ("human",)
    points = (10.0, 30.0, 60.0, 90.0)

    def identity(self) -> dict[str, str]:
        return {"pillow": "any"}

    def encode(self, pixels: Any, point: float) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=int(point))
        return file.getvalue()

    def cut(self, data: bytes, view: str) -> bytes:
        return data

    def decode(self, data: bytes, view: str) -> Decoded:
        return Decoded(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def dataset(pictures: int = 40, folder: Path = Path()) -> Dataset:
    names = [f"{number:06}.png" for number in range(pictures)]
    return Dataset("coco-like", "coco", tuple(Sample(name, folder / name) for name in names))


def observations(
    pictures: int = 40, seed: int = 1, curves: Sequence[str] = tuple(CURVES)
) -> list[Observation]:
    random = np.random.default_rng(seed)
    hardness = random.lognormal(0, 0.35, pictures)
    seen_at = random.normal(0.45, 0.12, pictures).clip(0.05, 0.95)
    found = []
    for number in range(pictures):
        name, pixels = f"{number:06}.png", 640 * (480 if number % 3 else 427)
        found.append(
            Observation(
                name, "original", 0.0, pixels, pixels * 3, 0.0, 0.0, 300.0,
                {"mse": 0.0, "ms_ssim": 1.0, "lpips": 0.0},
                {"found": float(seen_at[number]), "same": 1.0},
            )
        )  # fmt: skip
        for curve in curves:
            cost, reach = CURVES[curve]
            for quality in QUALITIES:
                bpp = quality * cost * hardness[number]
                share = reach / 45 * (1 - 0.55 * np.exp(-quality * 2.4)) + random.normal(0, 0.02)
                mse = 60 * hardness[number] / quality**1.2
                human = {"mse": mse, "ms_ssim": 1 - mse / 2500, "lpips": mse / 400}
                task = {"found": float(seen_at[number] * share), "same": float(share)}
                slow = 20 if "icmh" in curve else 1
                found.append(
                    Observation(
                        name, curve, quality * 10, pixels, int(bpp * pixels / 8),
                        0.012 * slow * hardness[number], 0.008 * slow, 310.0 + slow,
                        {} if "@" in curve.split("/")[0] and "simul" not in curve else human, task,
                    )
                )  # fmt: skip
    return found


def report() -> dict[str, Any]:
    """A whole report of hostile names and few pictures."""
    curves = ("jpeg/plain/human", "avif@416/plain/det", "icmh/plain/human", "icmh/scalable/det")
    return summarise(
        observations(10, curves=curves),
        dataset=dataset(11),
        network=Network(),
        command="icmh bench 'a <b> & c' --task det",
        failures=[
            {"sample": "<i>.png", "codec": None, "message": "5 < 6 & <script>alert(1)</script>"}
        ],
        fingerprints={"jpeg/plain": {"pillow": "<13>"}},
        resamples=20,
    )
