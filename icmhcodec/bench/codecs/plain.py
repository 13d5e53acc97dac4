"""What the compared codecs have in common that know one reader: the person who looks."""

from __future__ import annotations

import importlib
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from icmhcodec.bench.contract import HUMAN, Decoded, Pixels
from icmhcodec.errors import UsageError


class PlainCodec(ABC):
    """A codec whose file is one picture for everyone; see `bench.contract.ComparedCodec`."""

    def __init__(self, name: str, points: tuple[float, ...]) -> None:
        self.name = name
        self.profile = "plain"
        self.views: tuple[str, ...] = (HUMAN,)
        self.points = points

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Versions and settings that decide the bytes and the picture."""

    @abstractmethod
    def encode(self, pixels: Pixels, point: float) -> bytes:
        """The file of a picture, uint8 [H,W,3]."""

    @abstractmethod
    def pixels(self, data: bytes) -> Pixels:
        """The picture of a file, uint8 [H,W,3]."""

    def cut(self, data: bytes, view: str) -> bytes:
        """The whole file."""
        del view
        return data

    def decode(self, data: bytes, view: str) -> Decoded:
        """The picture of a file."""
        del view
        return Decoded(self.pixels(data))


class PillowCodec(PlainCodec):
    """A format that Pillow writes and reads; the point is Pillow's quality.

    `speed_only` are options that change no bytes, and so are no part of the identity.
    """

    def __init__(
        self,
        name: str,
        points: tuple[float, ...],
        image_format: str,
        settings: Mapping[str, Any],
        versions: Mapping[str, str],
        speed_only: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name, points)
        self._format = image_format
        self._settings = dict(settings)
        self._versions = dict(versions)
        self._speed_only = dict(speed_only or {})

    def identity(self) -> dict[str, str]:
        """Versions of Pillow and of the library below it, and the options."""
        return {
            "pillow": metadata.version("pillow"),
            **self._versions,
            "settings": described(self._settings),
        }

    def encode(self, pixels: Pixels, point: float) -> bytes:
        """The file at a quality."""
        file = io.BytesIO()
        options = self._settings | self._speed_only | {"quality": whole(point, self.name)}
        Image.fromarray(pixels).save(file, self._format, **options)
        return file.getvalue()

    def pixels(self, data: bytes) -> Pixels:
        """The picture as RGB."""
        with Image.open(io.BytesIO(data), formats=[self._format]) as image:
            return np.asarray(image.convert("RGB"))


def described(settings: Mapping[str, Any]) -> str:
    """Options as a line."""
    return " ".join(f"{key}={value}" for key, value in settings.items())


def whole(point: float, name: str) -> int:
    """A point as the whole number that a codec wants; UsageError where it is none."""
    if point != int(point):
        raise UsageError(f"{name}: its settings are whole numbers, not {point:g}")
    return int(point)


def require(module: str, codec: str, package: str) -> ModuleType:
    """An optional package's module; UsageError that says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"{codec}: needs the package {package}; pip install 'icmhcodec[bench]'"
        ) from error
