"""Real processes over real folders, with the toy codec."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icmhcodec import container
from tests.cli.conftest import COMMAND, ENVIRONMENT

TOY = ("--base", "test-tiny", "--threads", "1")
Start = Callable[..., "subprocess.Popen[str]"]


def picture(path: Path, side: int = 64) -> Path:
    """Noise, which takes many bytes."""
    levels = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(levels).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 60 pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    first = picture(folder / "00.png", 128)
    for number in range(1, 60):
        (folder / f"{number:02}.png").hardlink_to(first)
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start `icmh` in a session of its own."""
    processes = []

    def started(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit code, and what was said."""
    said = process.communicate(timeout=120)[1]
    return process.returncode, said.splitlines()


def wait_for(number: int, folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until there are so many results."""
    while not folder.is_dir() or len(list(folder.iterdir())) < number:
        assert process.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.002)


def whole(folder: Path) -> set[str]:
    """The names in a folder, of which each must be a complete file."""
    for path in folder.iterdir():
        assert path.suffix == ".icm", path
        container.parse(path.read_bytes())
    return {path.stem for path in folder.iterdir()}


def processes_of(session: int) -> list[int]:
    """Those of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_session) == session and state != "Z":
            found.append(int(path.parent.name))
    return found
