"""Small files of every profile, with all kinds of masks and chunks, and the bundles they need."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.imageio import Picture
from icmhcodec.pipeline.codec import Codec
from tests.pipeline.conftest import photo, random_bundle

PIXELS = photo(70, 90, 4)


def install_bundles(folder: Path) -> None:
    """Add random bundles for two tasks to the user's models (ICMH_DATA)."""
    for number, task in enumerate(("det", "cls")):
        for profile in ("scalable", "machine"):
            for model in random_bundle(task, number, profile):
                path = folder / "model.safetensors"
                modelfile.write(path, model)
                bundles.add(path)


def encoded(codec: Codec) -> dict[str, bytes]:
    """A file of about a kilobyte of each profile."""
    picture = Picture(PIXELS[:, :, :3], PIXELS[:, :, 3], b"profile" * 9, b"II*\0exif", b"<xmp/>")
    box = np.zeros((70, 90), dtype=bool)
    box[20:50, 30:60] = True
    encode = codec.encode
    return {
        "layered": encode(picture, tasks=["cls:1", "det:3"]).data,
        "portable": encode(picture, tasks=["cls", "det"], portable=True, masks={"cls": box}).data,
        "simulcast": encode(picture, tasks=["cls", "det"], profile="machine", with_human=True).data,
        "tasks": encode(PIXELS[:, :, :1], tasks=["det"], with_human=False).data,
    }


def smallest(codec: Codec) -> dict[str, bytes]:
    """Two files of a few hundred bytes, small enough to be cut at every byte."""
    corner = photo(20, 20, 4)
    box = np.zeros((20, 20), dtype=bool)
    box[:9, :9] = True
    picture = Picture(corner[:, :, :3], corner[:, :, 3], exif=b"II*\0exif")
    return {
        "layered": codec.encode(picture, tasks=["cls:1", "det:3"], quality=6).data,
        "portable": codec.encode(corner[:, :, :3], tasks=["det"], masks={"det": box}).data,
    }
