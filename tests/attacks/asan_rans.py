"""Attack CompressAI's range coder, built alone with AddressSanitizer, through the coder's guards.

    python -m tests.attacks.asan_rans [--source compressai-1.2.8.tar.gz]

Without --source the source package of the installed version is fetched with pip.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from icmhcodec.entropy.coder import FEWEST, SEGMENT, padded
from icmhcodec.errors import FormatError
from tests.attacks.streams import COUNT, hostile, tables

HERE = Path(__file__).parent
PARTS = ("compressai/cpp_exts/rans/", "third_party/ryg_rans/")


class UnavailableError(Exception):
    """The source package or a compiler with AddressSanitizer is not to be had."""


def fetch(folder: Path) -> Path:
    """Fetch the source package of the installed CompressAI."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    command += ["--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    command += ["--dest", str(folder), f"compressai=={version('compressai')}"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=90)
        return next(folder.glob("compressai-*.tar.gz"))
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        raise UnavailableError("CompressAI's source package cannot be fetched") from error


def build(source: Path, folder: Path) -> Path:
    """Compile the driver and the coder's source with AddressSanitizer."""
    compiler = next((c for c in ("g++", "clang++") if shutil.which(c)), None)
    if compiler is None:
        raise UnavailableError("there is no C++ compiler")
    with tarfile.open(source) as archive:
        for member in archive.getmembers():
            part = next((part for part in PARTS if part in member.name), None)
            content = archive.extractfile(member) if part and member.isfile() else None
            if content:
                (folder / Path(member.name).name).write_bytes(content.read())
    driver, probe = folder / "driver", folder / "probe.cpp"
    probe.write_text("int main() {}")
    options = ["-std=c++17", "-O1", "-g", "-DNDEBUG", "-fsanitize=address", "-w"]
    if subprocess.run([compiler, *options, probe, "-o", driver], capture_output=True).returncode:
        raise UnavailableError("the compiler has no AddressSanitizer")
    sources = [f"-I{folder}", f"-I{HERE}", HERE / "asan_rans.cpp"]
    subprocess.run([compiler, *options, *sources, "-o", driver], check=True)
    return driver


def run(driver: Path, cases: Iterable[bytes]) -> subprocess.CompletedProcess[str]:
    """Run the driver over cases; its exit code is not 0 where an access was invalid."""
    coded = tables()
    head = [np.array(coded.cdfs.shape), coded.cdfs, coded.lengths, coded.offsets]
    path = driver.with_suffix(".cases")
    with path.open("wb") as file:
        file.writelines(_numbers(part) for part in head)
        file.writelines(cases)
    return subprocess.run(
        [driver, path],
        capture_output=True,
        text=True,
        env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0"},
    )


def _numbers(values: object) -> bytes:
    return np.ascontiguousarray(values, dtype="<i4").tobytes()


def decoding(stream: bytes, indexes: np.ndarray) -> bytes:
    """A case that decodes a stream as it is."""
    head = _numbers([0, len(stream), len(indexes)])
    return head + _numbers(indexes) + stream.ljust(-(-len(stream) // 4) * 4, b"\0")


def encoding(symbols: np.ndarray, indexes: np.ndarray) -> bytes:
    """A case that encodes symbols as they are."""
    return _numbers([1, len(symbols)]) + _numbers(indexes) + _numbers(symbols)


def guarded(stream: bytes, indexes: np.ndarray) -> Iterable[bytes]:
    """A stream as `coder.decode` hands it over; nothing where it refuses it."""
    indexes = np.concatenate([indexes, indexes[-1:].repeat(max(0, FEWEST - len(indexes)))])
    try:
        yield decoding(padded(stream, len(indexes)), indexes)
    except FormatError:
        return


def attack(driver: Path, count: int = COUNT) -> dict[str, subprocess.CompletedProcess[str]]:
    """Run all attacks: the guarded ones must pass, the bare ones must be caught."""
    ones = b"\xff" * 7 + b"\x7f" + b"\xff" * 400
    escapes = np.full(100, 1)
    edge = np.array([2**15, -(2**15)] * (SEGMENT // 2))
    return {
        "guarded": run(driver, (c for case in hostile(count) for c in guarded(*case))),
        "encoded": run(
            driver,
            [encoding(edge[:n], np.arange(n) % 4) for n in (3, 4, 5, 6, 100, SEGMENT)]
            + [encoding(np.arange(n) % 512 - 256, np.full(n, 3)) for n in (3, 4, 5, 100)],
        ),
        "bare stream": run(driver, [decoding(ones, escapes)]),
        "half the padding": run(driver, [decoding(ones.ljust(len(ones) * 8, b"\0"), escapes)]),
        "two symbols": run(driver, [encoding(np.array([-255, -254]), np.full(2, 3))]),
    }


def main() -> None:
    """Attack and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--count", type=int, default=COUNT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            driver = build(arguments.source or fetch(folder), folder)
        except UnavailableError as error:
            raise SystemExit(f"not run: {error}") from error
        for what, done in attack(driver, arguments.count).items():
            found = [line for line in done.stderr.splitlines() if "ERROR" in line]
            print(f"{what}: exit {done.returncode} {done.stdout.strip()} {' '.join(found)}")


if __name__ == "__main__":
    main()
