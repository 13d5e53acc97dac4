from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.imageio.atomic import atomic_write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_with_the_umasks_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "a", b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == b"data"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert names(tmp_path) == ["a"]


def test_overwrites_only_when_forced(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(UsageError, match=r"a exists; --force"):
        atomic_write(target, b"new")
    assert target.read_bytes() == b"old"
    atomic_write(target, b"new", force=True)
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_leaves_nothing_behind_when_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        assert len(names(tmp_path)) == 2  # the old file and the temporary one beside it
        raise failure

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(failure):
        atomic_write(tmp_path / "a", b"new", force=True)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_refusing_system_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(IcmhError, match=r"a: cannot be written: No space left on device"):
        atomic_write(tmp_path / "a", b"data")
    assert names(tmp_path) == []


def test_refuses_folders_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        atomic_write(tmp_path, b"data", force=True)
    with pytest.raises(UsageError, match="does not exist; make it first"):
        atomic_write(tmp_path / "no" / "a", b"data")


def test_follows_links_and_takes_the_longest_names(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    (tmp_path / "link").symlink_to(target)
    atomic_write(tmp_path / "link", b"data")
    assert (tmp_path / "link").is_symlink()
    assert target.read_bytes() == b"data"


def test_devices_are_written_to_not_replaced() -> None:
    atomic_write(os.devnull, b"data")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
