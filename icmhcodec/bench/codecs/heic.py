"""HEIC by libheif and x265 through pillow-heif: 4:2:0, 8 bits; HEVC intra, the relative of BPG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import metadata
from types import ModuleType

import numpy as np

from icmhcodec.bench.codecs.plain import PlainCodec, described, require, whole
from icmhcodec.bench.contract import ComparedCodec, Pixels, Resources

PACKAGE = "pillow-heif"
POINTS = (5.0, 12.0, 20.0, 27.0, 34.0, 42.0, 50.0, 56.0)
CHROMA = 420
# Wavefronts cost bits, and x265 drops them by itself where there is one core: then bytes differ.
ENCODER = {"x265:wpp": "0", "x265:pools": "none"}


class HeicCodec(PlainCodec):
    """HEIC at libheif's qualities."""

    def __init__(self, library: ModuleType, threads: int) -> None:
        super().__init__("heic", POINTS)
        self._library = library
        library.options.DECODE_THREADS = threads

    def identity(self) -> dict[str, str]:
        """Versions of pillow-heif, libheif and its HEVC coders, and the options."""
        info = self._library.libheif_info()
        return {
            PACKAGE: metadata.version(PACKAGE),
            "libheif": info["libheif"],
            "encoder": info["HEIF"],
            "decoders": ", ".join(info["decoders"].values()),
            "settings": described({"chroma": CHROMA, **ENCODER}),
        }

    def encode(self, pixels: Pixels, point: float) -> bytes:
        """The file at a quality."""
        height, width = pixels.shape[:2]
        picture = self._library.from_bytes("RGB", (width, height), pixels.tobytes())
        file = io.BytesIO()
        quality = whole(point, self.name)
        picture.save(file, quality=quality, chroma=CHROMA, enc_params=dict(ENCODER))
        return file.getvalue()

    def pixels(self, data: bytes) -> Pixels:
        """The picture as RGB."""
        picture = self._library.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        return np.asarray(picture.to_pillow().convert("RGB"))


def create(options: str, tasks: Sequence[str], resources: Resources) -> list[ComparedCodec]:
    """HEIC; UsageError where pillow-heif is not installed."""
    del options, tasks
    return [HeicCodec(require("pillow_heif", "heic", PACKAGE), resources.threads or 1)]
