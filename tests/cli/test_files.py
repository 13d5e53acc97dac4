from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from icmhcodec.cli.files import (
    STREAM,
    Job,
    blamed,
    check_source,
    check_target,
    expand,
    plan,
    read_icm,
    write,
)
from icmhcodec.errors import ExistsError, FormatError, UsageError

PICTURES = [".png", ".jpg"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    photos = Path("photos")
    photos.mkdir()
    for name in ("b.png", "a.JPG", "c.txt"):
        (photos / name).write_bytes(b"x")
    return photos


def test_folders_and_globs_are_expanded(folder: Path) -> None:
    both = [folder / "a.JPG", folder / "b.png"]
    assert expand([folder], PICTURES) == both
    assert expand([folder / "*.png"], PICTURES) == both[1:]
    assert expand([folder, folder / "b.png", Path("none"), STREAM], PICTURES) == [
        *both,
        Path("none"),
        STREAM,
    ]


def test_a_folder_named_like_a_picture_is_not_one(folder: Path) -> None:
    (folder / "old.png").mkdir()
    (folder / "gone.png").symlink_to("nowhere.png")
    assert expand([folder], PICTURES) == [folder / n for n in ("a.JPG", "b.png", "gone.png")]


def test_a_file_with_a_glob_as_its_name_is_itself(folder: Path) -> None:
    named = folder / "[1].png"
    named.write_bytes(b"x")
    assert expand([named], PICTURES) == [named]


def test_nothing_to_expand_is_said(folder: Path) -> None:
    with pytest.raises(UsageError, match="no file matches"):
        expand([folder / "*.gif"], PICTURES)
    with pytest.raises(UsageError, match=r"has no \.icm file"):
        expand([folder], [".icm"])


def test_results_go_beside_their_inputs(folder: Path) -> None:
    jobs = plan([folder / "b.png", STREAM], PICTURES, None, ".icm")
    assert jobs == [Job(folder / "b.png", folder / "b.icm", True), Job(STREAM, STREAM, True)]
    assert plan([folder / "b.det.icm"], [".icm"], None, ".png", ".det")[0].target.name == (
        "b.det.png"
    )


def test_a_single_file_goes_to_the_output(folder: Path) -> None:
    source = folder / "b.png"
    assert plan([source], PICTURES, "x.icm", ".icm") == [Job(source, Path("x.icm"))]
    assert plan([source], PICTURES, "photos", ".icm") == [Job(source, folder / "b.icm")]
    assert plan([source], PICTURES, "new/", ".icm") == [Job(source, Path("new/b.icm"))]
    assert plan([source], PICTURES, "-", ".icm") == [Job(source, STREAM)]


def test_a_folder_goes_to_a_folder_even_with_one_file(folder: Path) -> None:
    (folder / "b.png").unlink()
    jobs = plan([folder], PICTURES, "coded", ".icm")
    assert jobs == [Job(folder / "a.JPG", Path("coded/a.icm"), in_bulk=True)]
    assert Path("coded").is_dir()


def test_several_inputs_need_a_folder(folder: Path) -> None:
    Path("file").write_bytes(b"x")
    for output in ("file", "-"):
        with pytest.raises(UsageError, match="need a folder"):
            plan([folder], PICTURES, output, ".icm")


def test_two_inputs_never_share_an_output(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="would both become"):
        plan([folder], PICTURES, None, ".icm")


def test_targets_are_checked_before_the_work(folder: Path) -> None:
    source = folder / "b.png"
    there = folder / "c.txt"
    check_target(folder / "new.icm", [source], force=False)
    check_target(there, [source], force=True)
    for target, force, message in (
        (there, False, "--force"),
        (folder, True, "is a folder"),
        (Path("none/x.icm"), True, "does not exist"),
        (source, True, "is the input itself"),
    ):
        with pytest.raises(UsageError, match=message):
            check_target(target, [source], force=force)


def test_a_result_that_is_there_may_be_old(folder: Path) -> None:
    source, target = folder / "b.png", folder / "b.icm"
    target.write_bytes(b"x")
    made = target.stat().st_mtime_ns
    os.utime(source, ns=(made, made))
    with pytest.raises(ExistsError, match="exists; --force"):
        check_target(target, [STREAM, source], force=False)
    os.utime(source, ns=(made + 1, made + 1))
    with pytest.raises(UsageError, match=r"is older than .*b\.png; --force") as caught:
        check_target(target, [STREAM, source], force=False)
    assert not isinstance(caught.value, ExistsError)


def test_a_link_to_the_input_is_the_input(folder: Path) -> None:
    link = Path("link.icm")
    link.symlink_to(folder / "b.png")
    with pytest.raises(UsageError, match="is the input itself"):
        check_target(link, [folder / "b.png"], force=True)


def test_binary_data_do_not_go_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(UsageError, match="terminal"):
        check_target(STREAM, [], force=False)


def test_sources(folder: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        check_source(folder)
    with pytest.raises(UsageError, match="no such file"):
        check_source(Path("none"))
    Path("empty.icm").touch()
    with pytest.raises(FormatError, match=r"empty\.icm is empty"):
        read_icm(Path("empty.icm"))


def test_written_whole_and_not_twice(folder: Path) -> None:
    target = folder / "x.icm"
    write(target, b"one", force=False)
    with pytest.raises(UsageError):
        write(target, b"two", force=False)
    assert target.read_bytes() == b"one"
    write(target, b"two", force=True)
    assert target.read_bytes() == b"two"
    assert sorted(path.name for path in folder.iterdir()) == ["a.JPG", "b.png", "c.txt", "x.icm"]


def test_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        buffer = io.BytesIO(b"data")

    stream: Any = Stream()
    monkeypatch.setattr(sys, "stdin", stream)
    assert read_icm(STREAM) == b"data"


def test_errors_name_the_file() -> None:
    with pytest.raises(FormatError, match=r"^a\.icm: cut$"), blamed(Path("a.icm")):
        raise FormatError("cut")
    with pytest.raises(FormatError, match=r"^stdin: cut$"), blamed(STREAM):
        raise FormatError("cut")


def test_hidden_files_of_a_folder_are_left_out(folder: Path) -> None:
    (folder / "._a.png").write_bytes(b"x")
    assert expand([folder], PICTURES) == [folder / "a.JPG", folder / "b.png"]
    assert expand([folder / "._a.png"], PICTURES) == [folder / "._a.png"]


def test_several_results_do_not_go_to_a_file(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"several inputs need a folder; write x\.icm/"):
        plan([folder], PICTURES, "x.icm", ".icm")
    plan([folder], PICTURES, "x.icm/", ".icm")
    assert Path("x.icm").is_dir()


def test_no_folder_is_made_for_what_is_not_there(folder: Path) -> None:
    plan([Path("none.png")], PICTURES, "new/", ".icm")
    assert not Path("new").exists()


def test_a_decoded_picture_does_not_take_its_originals_place(folder: Path) -> None:
    Path("a.png").write_bytes(b"")
    Path("a.icm").write_bytes(b"")
    os.utime("a.png", (1, 1))
    with pytest.raises(UsageError, match="is it the original") as caught:
        check_target(Path("a.png"), [Path("a.icm")], force=False)
    assert "--force" not in str(caught.value)
