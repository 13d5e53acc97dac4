"""AVIF by libavif: 4:2:0, 8 bits, speed 6 (of 0 to 10, the habit of Pillow and libavif)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from PIL import AvifImagePlugin, features

from icmhcodec.bench.codecs.plain import PillowCodec
from icmhcodec.bench.contract import ComparedCodec, Resources
from icmhcodec.errors import UsageError

POINTS = (5.0, 15.0, 25.0, 35.0, 50.0, 65.0, 75.0, 85.0)
# One thread and one tile: the bytes depend on the number of both.
SETTINGS = {"speed": 6, "subsampling": "4:2:0", "autotiling": False, "max_threads": 1}


def create(options: str, tasks: Sequence[str], resources: Resources) -> list[ComparedCodec]:
    """AVIF at libavif's qualities; UsageError where Pillow was built without it."""
    del options, tasks
    if not features.check_module("avif"):
        raise UsageError("avif: this Pillow was built without it; pip install 'pillow>=12'")
    AvifImagePlugin.DEFAULT_MAX_THREADS = resources.threads or 1  # of the decoder
    versions = {
        "libavif": str(features.version_module("avif")),
        "codecs": importlib.import_module("PIL._avif").codec_versions(),
    }
    return [PillowCodec("avif", POINTS, "AVIF", SETTINGS, versions)]
