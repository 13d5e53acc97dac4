"""BPG by bpgenc and bpgdec (libbpg): HEVC intra, 4:4:4, 8 bits; the point is 51 less QP."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from icmhcodec.bench.codecs import programs
from icmhcodec.bench.codecs.plain import PlainCodec, described, whole
from icmhcodec.bench.contract import ComparedCodec, Pixels, Resources

ADVICE = "build libbpg and put both programs there"
HIGHEST_QP = 51
POINTS = tuple(float(HIGHEST_QP - qp) for qp in (47, 43, 39, 35, 31, 27, 23))
SETTINGS = {"-f": "444", "-b": "8"}


class BpgCodec(PlainCodec):
    """BPG through PNG files."""

    def __init__(self, encoder: str, decoder: str) -> None:
        super().__init__("bpg", POINTS)
        self._encoder = encoder
        self._decoder = decoder

    def identity(self) -> dict[str, str]:
        """The programs by their contents, and the options."""
        return {
            "encoder": programs.fingerprint(self._encoder),
            "decoder": programs.fingerprint(self._decoder),
            "settings": described(SETTINGS),
        }

    def encode(self, pixels: Pixels, point: float) -> bytes:
        """The file at a QP."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "picture.png", Path(folder) / "picture.bpg"
            Image.fromarray(pixels).save(source, compress_level=1)
            qp = str(HIGHEST_QP - whole(point, self.name))
            options = [text for pair in SETTINGS.items() for text in pair]
            programs.run(self._encoder, "-q", qp, *options, "-o", str(target), str(source))
            return programs.output(target, self._encoder)

    def pixels(self, data: bytes) -> Pixels:
        """The picture as bpgdec gives it."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "picture.bpg", Path(folder) / "picture.png"
            source.write_bytes(data)
            programs.run(self._decoder, "-o", str(target), str(source))
            programs.output(target, self._decoder)
            with Image.open(target) as image:
                return np.asarray(image.convert("RGB"))


def create(options: str, tasks: Sequence[str], resources: Resources) -> list[ComparedCodec]:
    """BPG; UsageError where its programs are not on the PATH."""
    del options, tasks, resources
    encoder, decoder = (programs.find("bpg", (name,), ADVICE) for name in ("bpgenc", "bpgdec"))
    return [BpgCodec(encoder, decoder)]
