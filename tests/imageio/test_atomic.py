from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from icmhcodec.errors import ExistsError, IcmhError, UsageError
from icmhcodec.imageio.atomic import atomic_path, atomic_stream, atomic_write, read_whole


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


@pytest.mark.parametrize("force", [False, True])
def test_a_refusing_system_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(IcmhError, match=r"a: cannot be written: No space left on device"):
        atomic_write(tmp_path / "a", b"data", force=force)
    assert names(tmp_path) == []


def test_the_file_has_no_name_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def look(*paths: str, **options: int) -> None:
        assert names(tmp_path) == []
        link(*paths, **options)

    monkeypatch.setattr(os, "link", look)
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        pytest.skip("this file system has no files without names")
    atomic_write(tmp_path / "a", b"data")
    assert names(tmp_path) == ["a"]


@pytest.fixture(params=["neither", "links"])
def _poor_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files without names are refused, and perhaps links."""
    system_open = os.open

    def refuse(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return system_open(path, flags, *rest)

    def no_link(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "open", refuse)
    if request.param == "neither":
        monkeypatch.setattr(os, "link", no_link)


@pytest.mark.usefixtures("_poor_system")
def test_poor_file_systems_will_do(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a", b"old")
    with pytest.raises(UsageError, match="exists"):
        atomic_write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    atomic_write(tmp_path / "a", b"new", force=True)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.usefixtures("_poor_system")
def test_another_process_that_was_faster_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists
    answers = iter([False])  # it comes after the first look
    monkeypatch.setattr(Path, "exists", lambda path: next(answers, None) or exists(path))
    (tmp_path / "a").write_bytes(b"theirs")
    with pytest.raises(UsageError, match="exists"):
        atomic_write(tmp_path / "a", b"ours")
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert names(tmp_path) == ["a"]


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"first")
    assert read_whole(path) == b"first"
    fstat = os.fstat

    def grow(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        with path.open("ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr(os, "fstat", grow)
    with pytest.raises(IcmhError, match="a changed while it was read; try again"):
        read_whole(path)


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


def test_a_stream_is_a_file_once_it_ends(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with atomic_stream(target) as stream:
        stream.write(b"data")
        assert not target.exists()
    assert target.read_bytes() == b"data"
    with pytest.raises(ExistsError, match=r"a exists; --force"), atomic_stream(target):
        pass
    with atomic_stream(target, force=True) as stream:
        stream.write(b"new")
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def fail(target: Path) -> None:
    with atomic_path(target) as path:
        path.mkdir()
        (path / "half").write_bytes(b"")
        raise KeyError


def test_nothing_is_left_of_a_folder_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        fail(tmp_path / "folder")
    assert names(tmp_path) == []


def overtaken(target: Path) -> None:
    with atomic_stream(target) as stream:
        stream.write(b"ours")
        target.write_bytes(b"theirs")


def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    with pytest.raises(ExistsError):
        overtaken(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert names(tmp_path) == ["a"]


def test_streams_to_no_folder_and_to_devices(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"), atomic_stream(tmp_path / "no" / "a"):
        pass
    with atomic_stream("/dev/null") as stream:
        stream.write(b"gone")


def folder_of(path: Path, content: bytes) -> None:
    path.mkdir()
    (path / "a").write_bytes(content)


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder_of(tmp_path / "folder", b"old")
    (tmp_path / "folder" / "b").write_bytes(b"")
    with atomic_path(tmp_path / "folder", force=True) as path:
        folder_of(path, b"new")
        assert (tmp_path / "folder" / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["folder"]
    assert [p.read_bytes() for p in (tmp_path / "folder").iterdir()] == [b"new"]


def test_a_folder_that_cannot_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path / "folder", b"old")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(IcmhError, match="folder: cannot be written: Permission denied"):
        replaced(tmp_path / "folder")
    assert names(tmp_path) == ["folder"]
    assert (tmp_path / "folder" / "a").read_bytes() == b"old"


def replaced(target: Path) -> None:
    with atomic_path(target, force=True) as path:
        folder_of(path, b"new")


def test_a_folder_is_no_stream(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; name a file"), atomic_stream(tmp_path):
        pass


def test_a_reader_of_another_output_that_has_gone_is_not_this_files(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), atomic_stream(tmp_path / "a"):
        raise BrokenPipeError
    assert names(tmp_path) == []


def test_a_file_does_not_take_a_folders_place(tmp_path: Path) -> None:
    folder_of(tmp_path / "folder", b"old")
    with pytest.raises(IcmhError, match="folder: cannot be written: Is a directory"):
        filed(tmp_path / "folder")
    assert names(tmp_path) == ["folder"]
    assert (tmp_path / "folder" / "a").read_bytes() == b"old"


def filed(target: Path) -> None:
    with atomic_path(target, force=True) as path:
        path.write_bytes(b"new")
