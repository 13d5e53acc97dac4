"""Frames in a file of raw pixels: a clip may be long, memory holds one frame of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from icmhcodec.bench.contract import Pixels
from icmhcodec.errors import IcmhError


class Spool:
    """Frames uint8 [H,W,3] of one size, read as often as needed."""

    def __init__(self, path: Path, frames: Iterable[Pixels]) -> None:
        """Write the frames to a file; IcmhError where there are none, or of several sizes."""
        self._path = path
        self.shape: tuple[int, ...] = ()
        self.count = 0
        with path.open("wb") as file:
            for frame in frames:
                self.shape = self.shape or frame.shape
                if frame.shape != self.shape:
                    raise IcmhError(f"frame {self.count} is {frame.shape}, the first {self.shape}")
                file.write(np.ascontiguousarray(frame).data)
                self.count += 1
        if not self.count:
            raise IcmhError("there are no frames")

    def __iter__(self) -> Iterator[Pixels]:
        """The frames in their order."""
        size = int(np.prod(self.shape))
        with self._path.open("rb") as file:
            for _ in range(self.count):
                yield np.frombuffer(file.read(size), np.uint8).reshape(self.shape)

    @property
    def pixels(self) -> int:
        """Pixels of all frames."""
        return self.count * self.shape[0] * self.shape[1]
