"""JPEG by libjpeg-turbo: 4:2:0, optimised Huffman tables."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import features

from icmhcodec.bench.codecs.plain import PillowCodec
from icmhcodec.bench.contract import ComparedCodec, Resources

POINTS = (5.0, 10.0, 20.0, 35.0, 50.0, 65.0, 80.0, 90.0)
SETTINGS = {"optimize": True, "subsampling": "4:2:0"}


def create(options: str, tasks: Sequence[str], resources: Resources) -> list[ComparedCodec]:
    """JPEG at Pillow's qualities."""
    del options, tasks, resources
    versions = {"libjpeg-turbo": str(features.version_feature("libjpeg_turbo"))}
    return [PillowCodec("jpeg", POINTS, "JPEG", SETTINGS, versions)]
