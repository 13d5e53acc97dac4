"""WebP, lossy, with the slowest method."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import features

from icmhcodec.bench.codecs.plain import PillowCodec
from icmhcodec.bench.contract import ComparedCodec, Resources

POINTS = (0.0, 5.0, 15.0, 30.0, 50.0, 70.0, 85.0, 92.0)
SETTINGS = {"method": 6}


def create(options: str, tasks: Sequence[str], resources: Resources) -> list[ComparedCodec]:
    """WebP at libwebp's qualities."""
    del options, tasks, resources
    versions = {"libwebp": str(features.version_module("webp"))}
    return [PillowCodec("webp", POINTS, "WEBP", SETTINGS, versions)]
