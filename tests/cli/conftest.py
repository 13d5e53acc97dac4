from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import icmhcodec
from icmhcodec import container
from icmhcodec.cli.main import icmh
from icmhcodec.container import Group, Header, Layer, LayerData, MaskKind, Reference

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `icmh` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))

    def invoke(*args: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(icmh, [str(arg) for arg in args], input=stdin, prog_name="icmh")

    return invoke


COMMAND = [sys.executable, "-m", "icmhcodec.cli"]
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(icmhcodec.__file__).parent.parent),  # it need not be installed
}


def spawn(*args: object) -> subprocess.CompletedProcess[bytes]:
    """Run `icmh` in a process of its own."""
    command = [*COMMAND, *map(str, args)]
    return subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False)


def sample() -> bytes:
    """A valid file of two layers and metadata whose coded bytes mean nothing."""
    codec = Reference("test-tiny", bytes(range(8)))
    bundle = Reference("det-0", bytes(8))
    group = Group(codec, quality=4 * 256, skip=0, hyper_crc=1)
    det = Layer(0, "det", 2, MaskKind.DERIVED, 7, 50, 8, bundle, bundle)
    human = Layer(0, "human", 0, MaskKind.FULL, 0, 142, 9, None, None)
    header = Header(width=64, height=64, channels=3, depth=8, groups=(group,), layers=(det, human))
    layers = {0: LayerData(b"", (b"d" * 40,)), 1: LayerData(b"", (b"h" * 120,))}
    metadata = (container.Chunk("eXIf", b"where and when"),)
    return container.build(header, {0: (b"z" * 16,)}, layers, metadata)


@pytest.fixture
def icm(tmp_path: Path) -> Path:
    """The sample as a file."""
    path = tmp_path / "photo.icm"
    path.write_bytes(sample())
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small picture with some structure."""
    rows, columns = np.mgrid[:48, :80]
    pixels = np.stack([rows * 5, columns * 3, (rows * columns) % 256], axis=2).astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def lines(result: Result) -> list[str]:
    """What was said on stderr."""
    return result.stderr.splitlines()
