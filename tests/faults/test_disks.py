"""Disks that are full or may not be written to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, ENVIRONMENT
from tests.faults.conftest import TOY, picture, whole

UNSHARE = ("unshare", "--map-root-user", "--mount")
SCRIPT = """
mount -t tmpfs -o "$1" tmpfs "$2" || exit 99
disk=$2 kept=$3
shift 3
"$@"
code=$?
cp -a "$disk/." "$kept"
exit $code
"""


def on_disk(options: str, disk: Path, *arguments: object) -> tuple[int, list[str]]:
    """Run `icmh` where `disk` is a file system of its own; what is on it comes to `kept`."""
    (disk.parent / "kept").mkdir()
    command = [*UNSHARE, "sh", "-c", SCRIPT, "sh", options, disk, disk.parent / "kept"]
    result = subprocess.run(
        [*map(str, command), *COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    return result.returncode, result.stderr.splitlines()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        probe = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", str(folder)]
        able = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        able = False
    if not able:
        pytest.skip("this system lets no mount namespace be made")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A large picture, then two small ones."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, side in (("a", 320), ("b", 64), ("c", 64)):
        picture(folder / f"{name}.png", side)
    return folder


def test_what_fits_on_a_full_disk_is_there_and_nothing_else(photos: Path, disk: Path) -> None:
    code, said = on_disk("size=12k", disk, "encode", photos, "-o", disk, *TOY, "-q", 9)
    assert code == 1
    assert said == [
        f"icmh: {photos}/a.png: {disk}/a.icm: cannot be written: No space left on device",
        "icmh: 1 of 3 inputs failed",
    ]
    assert whole(disk.parent / "kept") == {"b", "c"}


def test_a_disk_that_is_read_only(photos: Path, disk: Path) -> None:
    code, said = on_disk("ro", disk, "encode", photos / "b.png", "-o", disk / "b.icm", *TOY)
    assert code == 1
    assert len(said) == 1
    assert f"{disk}/b.icm: cannot be written: Read-only file system" in said[0]
    assert not list((disk.parent / "kept").iterdir())


def test_no_folder_is_made_on_a_disk_that_is_read_only(photos: Path, disk: Path) -> None:
    code, said = on_disk("ro", disk, "encode", photos, "-o", disk / "new", *TOY)
    assert (code, said) == (1, [f"icmh: {disk}/new: Read-only file system"])


def test_stdout_to_a_full_disk(photos: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [*COMMAND, "encode", photos / "b.png", "-o", "-", *TOY]
        result = subprocess.run(
            [*map(str, command)], stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False
        )
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"icmh: {photos}/b.png: stdout: cannot be written: No space left on device".encode()
    ]
