"""A codec on the picture shrunk to what a network reads: the baseline that engineers try first."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

import numpy as np
from PIL import Image

from icmhcodec.bench.contract import HUMAN, ComparedCodec, Decoded, Pixels


class ShrunkCodec:
    """A codec on pictures whose long side is at most `side`, for networks alone.

    The network gets the small picture; bits are counted over the original's pixels.
    """

    def __init__(self, inner: ComparedCodec, side: int, tasks: Sequence[str]) -> None:
        self.name = f"{inner.name}@{side}"
        self.profile = inner.profile
        self.views = tuple(t for t in tasks if t in inner.views or HUMAN in inner.views)
        self.points = inner.points
        self._inner = inner
        self._side = side

    def identity(self) -> dict[str, str]:
        """That of the codec, and how pictures are shrunk."""
        filter_ = f"long side {self._side}, Lanczos of Pillow {metadata.version('pillow')}"
        return {**self._inner.identity(), "shrunk": filter_}

    def encode(self, pixels: Pixels, point: float) -> bytes:
        """The codec's file of the shrunk picture."""
        return self._inner.encode(shrink(pixels, self._side), point)

    def cut(self, data: bytes, view: str) -> bytes:
        """What the codec cuts off for the task, or for people where it knows no tasks."""
        return self._inner.cut(data, self._view(view))

    def decode(self, data: bytes, view: str) -> Decoded:
        """The small picture."""
        return Decoded(self._inner.decode(data, self._view(view)).pixels, shrunk=True)

    def _view(self, view: str) -> str:
        return view if view in self._inner.views else HUMAN


def shrink(pixels: Pixels, side: int) -> Pixels:
    """A picture whose long side is `side`, by Lanczos's filter; a smaller one stays as it is."""
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
