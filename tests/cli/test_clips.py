"""Clips through every command, with video codecs that nobody trained."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icmhcodec.container.video import Reader
from icmhcodec.imageio.clip import ClipFrame, ClipInfo, ClipPacket
from icmhcodec.imageio.clip_read import ClipReader
from tests.cli.conftest import COMMAND, ENVIRONMENT, Run, lines, sample
from tests.imageio.test_clip import sound, write
from tests.pipeline.video.conftest import folder as folder
from tests.threads import one_thread  # noqa: F401

COUNT, WIDTH, HEIGHT = 24, 64, 48
TINY = ("--base", "test-tiny", "--gop", 8, "--inter", "tiny-dvc-0")


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip.mp4: a second that moves, with sound and a title; short.y4m: its first frames."""
    place = tmp_path_factory.mktemp("clips")
    audio, packets = sound("aac")
    info = ClipInfo(
        WIDTH, HEIGHT, Fraction(1, COUNT), Fraction(COUNT), audio=(audio,), tags={"title": "Street"}
    )
    write(place / "clip.mp4", info, list(range(COUNT)), packets=packets)
    write(place / "short.y4m", info, list(range(3)))
    return place


@pytest.fixture(autouse=True)
def here(run: Run, originals: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The clips, in the folder where commands run, and the codecs."""
    monkeypatch.setenv("ICMH_DATA", str(folder))
    for path in originals.iterdir():
        Path(path.name).write_bytes(path.read_bytes())
    return run


@pytest.fixture(scope="session")
def blob(originals: Path, folder: Path) -> bytes:
    """The clip, coded with a layer for detection by a process of its own."""
    target = originals.parent / "coded.icm"
    done = process("encode", originals / "clip.mp4", *TINY, "--task", "det", "-o", target,
                   data=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"24 frames" in done.stdout
    return target.read_bytes()


@pytest.fixture
def coded(blob: bytes) -> Path:
    Path("clip.icm").write_bytes(blob)
    return Path("clip.icm")


def process(
    *arguments: object, data: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, *map(str, arguments)]
    environment = {**ENVIRONMENT, "ICMH_DATA": str(data)}
    return subprocess.run(command, capture_output=True, env=environment, check=False, input=stdin)


def frames_of(path: object) -> list[np.ndarray]:
    with ClipReader(path) as clip:  # type: ignore[arg-type]
        return [item.pixels for item in clip if isinstance(item, ClipFrame)]


def packets_of(path: Path) -> list[bytes]:
    with ClipReader(path) as clip:
        return [item.data for item in clip if isinstance(item, ClipPacket)]


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def test_there_and_back(here: Run, coded: Path, folder: Path) -> None:
    done = process("decode", coded, "--human", "-o", "seen.mp4", data=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    original, seen = frames_of("clip.mp4"), frames_of("seen.mp4")
    assert len(seen) == COUNT
    errors = [np.square(a.astype(float) - b).mean() for a, b in zip(original, seen, strict=True)]
    # Codecs that nobody trained give little, but P frames no less than the frames they begin with.
    assert all(error < 1.3 * errors[n // 8 * 8] for n, error in enumerate(errors))
    assert packets_of(Path("seen.mp4")) == packets_of(Path("clip.mp4"))
    with ClipReader("seen.mp4") as clip:
        assert (clip.info.rate, clip.info.tags) == (COUNT, {"title": "Street"})
    assert here("decode", coded, "--task", "det").exit_code == 0
    assert not same(frames_of("clip.det.mp4"), seen)


def test_parts_decode_alone_and_join(here: Run, coded: Path, blob: bytes) -> None:
    done = here("split", coded, "--task", "det", "-o", "det.icm", "--rest", "rest.icm")
    assert done.exit_code == 0, done.stderr
    assert here("join", "rest.icm", "det.icm", "-o", "whole.icm").exit_code == 0
    assert Path("whole.icm").read_bytes() == blob
    for name in ("clip", "det"):
        done = here(
            "decode", f"{name}.icm", "--task", "det", "--codec", "ffv1", "-o", f"{name}.mkv"
        )
        assert (done.exit_code, done.stderr) == (0, "")
    assert same(frames_of("clip.mkv"), frames_of("det.mkv"))
    assert packets_of(Path("clip.mkv"))
    assert not packets_of(Path("det.mkv"))  # sound went with the rest
    assert "layer 'human' is not in this part" in here("decode", "det.icm", "--human").stderr
    rest = here("decode", "rest.icm")
    assert (rest.exit_code, Path("rest.mp4").exists()) == (3, False)


def test_some_frames_to_pictures(here: Run, coded: Path, blob: bytes) -> None:
    assert here("decode", coded, "-o", "all").exit_code == 0
    every = frames_of("all")
    assert len(every) == COUNT
    assert (
        here("decode", coded, "--frames", "10:14", "--format", "png", "-o", "some").exit_code == 0
    )
    assert same(frames_of("some"), every[10:14])
    piped = here("decode", "-", "--frames", "10:14", "--codec", "ffv1", "-o", "p.mkv", stdin=blob)
    assert piped.exit_code == 0, piped.stderr
    assert same(frames_of("p.mkv"), every[10:14])
    with ClipReader("p.mkv") as clip:
        items = list(clip)
    times = [item.time for item in items if isinstance(item, ClipFrame)]
    assert times[0] == 0
    sound = [item for item in items if isinstance(item, ClipPacket)]
    assert 4 <= len(sound) <= 12  # a sixth of a second of 47 packets a second
    again = here("decode", coded, "-o", "some/")
    assert again.exit_code == 0
    assert len(frames_of("some/clip.mp4")) == COUNT
    again = here("decode", coded, "-o", "all/../all", "--format", "png")
    assert (again.exit_code, "--force" in again.stderr) == (2, True)


def test_pipes(here: Run) -> None:
    assert here("encode", "short.y4m", *TINY).exit_code == 0
    piped = here("encode", "-", *TINY, stdin=Path("short.y4m").read_bytes())
    assert piped.exit_code == 0, piped.stderr
    assert piped.stdout_bytes == Path("short.icm").read_bytes()
    seen = here("decode", "-", "-o", "-", stdin=piped.stdout_bytes)
    assert seen.stdout_bytes.startswith(b"YUV4MPEG2"), seen.stderr
    assert len(frames_of(io.BytesIO(seen.stdout_bytes))) == 3
    picture = here("encode", "-", "--base", "test-tiny", stdin=sample())
    assert (picture.exit_code, picture.stderr.count("\n")) == (1, 1)
    assert picture.stderr.startswith("icmh: stdin")


def test_a_rate_is_kept(here: Run) -> None:
    command = ("encode", "clip.mp4", *TINY, "--json", "--no-audio", "--force")
    plain = json.loads(here(*command, "-q", 8).stdout)
    wanted = plain["bpp"] * 0.75
    done = here(*command, "--bpp", wanted)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["met"], found["frames"]) == (0, True, COUNT)
    size = Path("clip.icm").stat().st_size
    assert wanted * 0.6 < 8 * size / (COUNT * WIDTH * HEIGHT) <= wanted
    assert found["quality"] < 8
    with Path("clip.icm").open("rb") as stream:
        assert len(list(Reader(stream))) == COUNT
    unmet = here(*command[:4], "--gop", 8, "--bpp", 0.001, "--force")
    assert unmet.exit_code == 1
    assert "--bpp 0.001 cannot be met" in unmet.stderr


def test_folders(here: Run) -> None:
    Path("shots").mkdir()
    for number, frame in enumerate(frames_of("short.y4m")):
        Image.fromarray(frame).save(f"shots/{number}.png")
    done = here("encode", "shots", "--clip", "--fps", "10", *TINY)
    assert done.exit_code == 0, done.stderr
    found = json.loads(here("info", "--json", "shots.icm").stdout)
    assert (found["frames"], found["rate"], found["groups"]) == (3, "10/1", 1)
    Path("mixed").mkdir()
    Path("short.y4m").rename("mixed/a.y4m")
    Path("shots/0.png").rename("mixed/b.png")
    Path("mixed/c.mp4").write_text("no clip")
    done = here("encode", "mixed", "--base", "test-tiny", "-o", "coded")
    assert done.exit_code == 1
    assert sorted(path.name for path in Path("coded").iterdir()) == ["a.icm", "b.icm"]
    assert "mixed/c.mp4" in done.stderr
    assert here("decode", "coded", "-o", "seen").exit_code == 0
    assert sorted(path.name for path in Path("seen").iterdir()) == ["a.mp4", "b.png"]


def test_another_rate_and_fewer_frames(here: Run) -> None:
    options = ("--frames", "6:18", "--fps", "12", "--strip", "-o", "x.icm")
    done = here("encode", "clip.mp4", *TINY, *options)
    assert done.exit_code == 0, done.stderr
    with Path("x.icm").open("rb") as stream:
        reader = Reader(stream)
        frames = [item for item in reader if hasattr(item, "intra")]
    assert len(frames) == 6
    assert (reader.header.rate, reader.ancillary) == (12, ())


def test_without_a_codec(here: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "none"))
    done = here("encode", "short.y4m", "--base", "test-tiny")
    assert done.exit_code == 4
    (said,) = lines(done)
    for part in ("short.y4m", "dvc is not here", "icmh train video", "icmh models add", "--gop 1"):
        assert part in said
    assert not Path("short.icm").exists()
    alone = here("encode", "short.y4m", "--base", "test-tiny", "--gop", "1")
    assert alone.exit_code == 0, alone.stderr
    assert here("decode", "short.icm").exit_code == 0
    assert len(frames_of("short.mp4")) == 3


def test_a_codec_that_the_file_needs_is_named(here: Run, coded: Path, tmp_path: Path) -> None:
    done = process("decode", coded, "-o", "x.mkv", data=tmp_path / "none")
    assert done.returncode == 4
    (said,) = done.stderr.splitlines()
    assert b"video codec tiny-dvc-0" in said
    assert b"icmh models add" in said
    assert here("verify", coded).exit_code == 0


def test_what_was_cut_off(here: Run, coded: Path, blob: bytes) -> None:
    coded.write_bytes(blob[: len(blob) * 2 // 3])
    done = here("decode", coded, "-o", "seen.mp4")
    assert (done.exit_code, len(lines(done))) == (3, 1)
    assert not Path("seen.mp4").exists()
    done = here("decode", coded, "--partial", "--codec", "ffv1", "-o", "seen.mkv")
    assert done.exit_code == 0, done.stderr
    assert "truncated" in done.stderr
    seen = frames_of("seen.mkv")
    assert 8 < len(seen) < COUNT
    coded.write_bytes(blob)
    here("decode", coded, "--codec", "ffv1", "-o", "all.mkv")
    assert same(seen, frames_of("all.mkv")[: len(seen)])
    index = blob.rindex(b"INDX")
    coded.write_bytes(blob[:index])
    done = here("decode", coded, "-o", "x.mkv")
    assert done.exit_code == 0
    assert "ends without an index" in done.stderr


def test_verify(here: Run, coded: Path, blob: bytes) -> None:
    done = here("verify", "--full", coded)
    assert (done.exit_code, done.stdout) == (0, "clip.icm: intact\n"), done.stderr
    coded.write_bytes(blob[:-200] + b"x" + blob[-199:])
    assert here("verify", "--full", coded).exit_code == 3
    assert "name a file" in here("verify", "--full", "-", stdin=blob).stderr
    assert "icmh info" in here("show", coded).stderr


def test_info(here: Run, coded: Path) -> None:
    shown = here("info", coded).stdout
    assert max(map(len, shown.splitlines())) <= 80
    for part in ("64x48, 24 frames at 24 fps", "1.00 s in 3 groups", "sound: aac", "kbit/s",
                 "motion", "tiny-dvc-0", "det:2 residual", "predictor det-video-0"):  # fmt: skip
        assert part in shown
    found = json.loads(here("info", "--json", coded).stdout)
    assert sum(found["parts"].values()) + found["overhead"] == coded.stat().st_size


def test_an_interrupt_leaves_nothing(folder: Path) -> None:
    source = Path("short.y4m").read_bytes()
    environment = {**ENVIRONMENT, "ICMH_DATA": str(folder)}
    command = [*COMMAND, "encode", "-", "--base", "test-tiny", "--gop", "2", "-o", "x.icm"]
    before = sorted(Path().iterdir())
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as child:
        assert child.stdin is not None
        child.stdin.write(source)
        child.stdin.flush()
        while not any(path.suffix == ".part" for path in Path().iterdir()):
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        time.sleep(0.2)
        _, said = child.communicate()
    assert (child.returncode, said) == (130, b"icmh: interrupted\n")
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("encode", "clip.mp4", "--tile", "64"), 2, "clip.mp4 is a clip; --tile is for pictures"),
        (("encode", "clip.mp4", "--size", "3k"), 2, "--size is for pictures"),
        (("encode", "clip.mp4", "--effort", "3"), 2, "--effort is for pictures"),
        (("encode", "clip.mp4", "--profile", "machine", "--task", "det"), 2, "--profile"),
        (("encode", "photo.png", "--gop", "4"), 2, "photo.png is a picture; --gop is for clips"),
        (("encode", "clip.mp4", "--jobs", "2"), 2, "--jobs is for pictures"),
        (("encode", "clip.mp4", "--frames", "9:3"), 2, "no range"),
        (("encode", "clip.mp4", "--frames", "99:", "-o", "x.icm", *TINY), 2, "24 frames"),
        (("encode", "clip.mp4", "--fps", "0/0"), 2, "no rate"),
        (("encode", "clip.mp4", *TINY, "--inter", "ssf", "-o", "x.icm"), 4, "ssf"),
        (("encode", "clip.mp4", "--task", "cls", "-o", "x.icm", *TINY), 4, "task 'cls'"),
        (("encode", "text.mp4", *TINY), 1, "text.mp4: not a clip"),
        (("encode", "none.mp4"), 2, "none.mp4: no such file"),
        (("encode", "clip.mp4", "-o", "there.icm"), 2, "--force"),
        (("decode", "clip.icm", "--crop", "0,0,8,8"), 2, "--crop is for pictures"),
        (("decode", "clip.icm", "--format", "jpeg"), 2, "for pictures"),
        (("decode", "clip.icm", "-o", "x.gif"), 2, ".mkv"),
        (("decode", "clip.icm", "--format", "png", "-o", "-"), 2, "pipe"),
        (("decode", "clip.icm", "--codec", "ffv1", "-o", "x.y4m"), 2, "--codec is for mp4"),
        (("decode", "clip.icm", "--codec", "x264", "-o", "frames"), 2, "--codec is for mp4"),
        (("decode", "clip.icm", "--task", "cls"), 2, "it has det, human"),
        (("decode", "clip.icm", "--frames", "24:", "-o", "x.mp4"), 2, "it has 24 frames"),
        (("decode", "clip.icm", "-o", "there.mp4"), 2, "--force"),
        (("decode", "clip.icm", "--format", "png"), 2, "--force"),
        (("decode", "still.icm", "--frames", "0:2"), 2, "is a picture; --frames is for clips"),
        (("decode", "still.icm", "--format", "mp4"), 2, "for clips"),
    ],
)
def test_errors(
    here: Run, coded: Path, photo: Path, arguments: tuple[object, ...], code: int, message: str
) -> None:
    Path("text.mp4").write_text("no clip")
    Path("still.icm").write_bytes(sample())
    Path("clip").mkdir()
    Path("clip/x").write_text("x")
    for name in ("there.icm", "there.mp4"):
        Path(name).write_text("x")
    before = sorted(Path().iterdir())
    done = here(*arguments)
    assert done.exit_code == code, done.stderr
    assert len(lines(done)) == 1
    assert message in done.stderr
    assert sorted(Path().iterdir()) == before


def test_a_folder_of_frames_is_the_same_the_second_time(here: Run) -> None:
    assert here("encode", "clip.mp4", *TINY, "--frames", ":3", "-o", "c.icm").exit_code == 0
    decode = ("decode", "c.icm", "-o", "seen")
    assert here(*decode).exit_code == 0
    names = sorted(path.name for path in Path("seen").iterdir())
    assert names == ["000001.png", "000002.png", "000003.png"]
    again = here(*decode)
    assert (again.exit_code, "seen exists; --force" in again.stderr) == (2, True)
    assert here(*decode, "--force").exit_code == 0
    assert sorted(path.name for path in Path("seen").iterdir()) == names
    assert here("decode", "c.icm", "-o", "seen/").exit_code == 0
    assert Path("seen/c.mp4").exists()


def test_sound_that_is_not_kept_is_mentioned(here: Run) -> None:
    assert here("encode", "clip.mp4", *TINY, "--frames", ":3", "-o", "c.icm").exit_code == 0
    for output in ("c.y4m", "frames"):
        assert "its sound is left out" in here("decode", "c.icm", "-o", output).stderr
        quiet = here("decode", "c.icm", "-o", output, "--force", "--no-audio")
        assert (quiet.exit_code, quiet.stderr) == (0, "")
