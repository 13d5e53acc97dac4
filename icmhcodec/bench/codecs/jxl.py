"""JPEG XL by libjxl through pillow-jxl-plugin: lossy, effort 7 (of 1 to 10, libjxl's habit)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

from icmhcodec.bench.codecs.plain import PillowCodec, require
from icmhcodec.bench.contract import ComparedCodec, Resources

PACKAGE = "pillow-jxl-plugin"
POINTS = (1.0, 10.0, 25.0, 40.0, 55.0, 70.0, 82.0, 90.0)
SETTINGS = {"effort": 7}


def create(options: str, tasks: Sequence[str], resources: Resources) -> list[ComparedCodec]:
    """JPEG XL at the plugin's qualities; UsageError where the plugin is not installed."""
    del options, tasks
    require("pillow_jxl", "jxl", PACKAGE)
    plugin: Any = require("pillow_jxl.JpegXLImagePlugin", "jxl", PACKAGE)
    threads = resources.threads or 1
    plugin.DECODE_THREADS = threads  # else all cores, in each worker process
    versions = {PACKAGE: metadata.version(PACKAGE)}
    return [PillowCodec("jxl", POINTS, "JXL", SETTINGS, versions, {"num_threads": threads})]
