from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from icmhcodec.errors import ExistsError, IcmhError, UsageError
from icmhcodec.imageio.clip import ClipAudio, ClipColour, ClipFrame, ClipInfo, ClipPacket
from icmhcodec.imageio.clip_read import ClipReader
from icmhcodec.imageio.clip_write import ClipWriter

INFO = ClipInfo(48, 32, Fraction(1, 30), Fraction(30))


def pattern(number: int, width: int = 48, height: int = 32) -> NDArray[Any]:
    """Coarse colours that move, with what a turn or a swap of channels would show."""
    y, x = np.mgrid[:height, :width]
    planes = [(x * 4 + number * 9) % 256, y * 5 % 256, (x // 8 + y // 8) % 2 * 160 + 40]
    return np.stack(planes, axis=2).astype(np.uint8)


def smooth(number: int, width: int = 48, height: int = 32) -> NDArray[Any]:
    """Colours without edges, that subsampled chroma and loss hardly touch."""
    y, x = np.mgrid[:height, :width]
    planes = [120 + x * 2 + number, 40 + y * 2, 100 - x - y + number]
    return np.stack(planes, axis=2).astype(np.uint8)


def sound(codec: str, rate: int = 48000) -> tuple[ClipAudio, list[ClipPacket]]:
    """A second of a sine, encoded."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as made:
        stream = made.add_stream(codec, rate=rate)
        stream.layout = "mono"
        wave = (np.sin(np.arange(rate) / 20) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    with av.open(io.BytesIO(buffer.getvalue())) as read:
        (stream,) = read.streams.audio
        context = stream.codec_context
        audio = ClipAudio(
            context.codec.canonical_name, rate, "mono", stream.time_base, context.extradata or b""
        )
        packets = [ClipPacket(0, p.pts, p.duration, bytes(p)) for p in read.demux(stream) if p.size]
    return audio, packets


def write(
    target: Path,
    info: ClipInfo = INFO,
    times: list[int] | None = None,
    make: Callable[..., NDArray[Any]] = smooth,
    packets: list[ClipPacket] | None = None,
    **options: Any,
) -> Path:
    times = list(range(5)) if times is None else times
    with ClipWriter(target, info, **options) as writer:
        for packet in packets or []:
            writer.write_audio(packet)
        for number, time in enumerate(times):
            writer.write_frame(make(number, info.width, info.height), time)
    return target


def read(source: Any, **options: Any) -> tuple[ClipInfo, list[ClipFrame], list[ClipPacket]]:
    with ClipReader(source, **options) as clip:
        items = list(clip)
    frames = [item for item in items if isinstance(item, ClipFrame)]
    return clip.info, frames, [item for item in items if isinstance(item, ClipPacket)]


def seconds(info: ClipInfo, frames: list[ClipFrame]) -> list[Fraction]:
    return [frame.time * info.time_base for frame in frames]


def error(frames: list[ClipFrame], make: Callable[..., NDArray[Any]], info: ClipInfo) -> int:
    return max(
        int(np.abs(frame.pixels - make(i, info.width, info.height).astype(int)).max())
        for i, frame in enumerate(frames)
    )


COLOURS = [
    ClipColour(1, 1, 1, False),
    ClipColour(1, 1, 1, True),
    ClipColour(6, 6, 6, False),
    ClipColour(5, 6, 5, True),
    ClipColour(),
]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("colour", COLOURS)
def test_colours_of_x264(tmp_path: Path, suffix: str, colour: ClipColour) -> None:
    info = replace(INFO, colour=colour)
    found, frames, _ = read(write(tmp_path / f"a.{suffix}", info))
    assert len(frames) == 5
    assert error(frames, smooth, info) <= 9
    # Another matrix would shift whole planes by 9 and more, another range by 6.
    shifts = [np.mean(f.pixels - smooth(i).astype(float), (0, 1)) for i, f in enumerate(frames)]
    assert np.abs(shifts).max() < 3
    assert (found.width, found.height, found.rate) == (48, 32, 30)
    if colour.matrix != 2:
        assert found.colour == colour
    else:
        assert found.colour.matrix == 6


@pytest.mark.parametrize("size", [(48, 32), (47, 32), (48, 31), (33, 17)])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_ffv1_is_exact(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    info = replace(INFO, width=size[0], height=size[1], colour=ClipColour(1, 1, 1, False))
    found, frames, _ = read(write(tmp_path / f"a.{suffix}", info, make=pattern, codec="ffv1"))
    assert error(frames, pattern, info) == 0
    assert (found.width, found.height) == size


@pytest.mark.parametrize("size", [(48, 32), (47, 31)])
def test_y4m(tmp_path: Path, size: tuple[int, int]) -> None:
    info = replace(INFO, width=size[0], height=size[1])
    found, frames, _ = read(write(tmp_path / "a.y4m", info, make=pattern))
    assert error(frames, pattern, info) <= 2
    assert (found.rate, [frame.time for frame in frames]) == (30, [0, 1, 2, 3, 4])


def test_odd_sizes_in_x264(tmp_path: Path) -> None:
    info = replace(INFO, width=47, height=31)
    found, frames, _ = read(write(tmp_path / "a.mp4", info))
    assert (found.width, found.height) == (47, 31)
    assert error(frames, smooth, info) <= 9


def test_times_of_variable_rate(tmp_path: Path) -> None:
    info = replace(INFO, time_base=Fraction(1, 600))
    times = [0, 20, 45, 60, 300]
    found, frames, _ = read(write(tmp_path / "a.mp4", info, times))
    assert seconds(found, frames) == [Fraction(time, 600) for time in times]
    found, frames, _ = read(write(tmp_path / "a.mkv", info, times))  # which counts milliseconds
    wanted = [Fraction(time, 600) for time in times]
    assert all(abs(a - b) <= Fraction(1, 2000) for a, b in zip(seconds(found, frames), wanted))  # noqa: B905


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_shape_of_pixels(tmp_path: Path, suffix: str) -> None:
    info = replace(INFO, aspect=Fraction(16, 11), tags={"title": "a clip"})
    found, _, _ = read(write(tmp_path / f"a.{suffix}", info))
    assert found.aspect == Fraction(16, 11)
    tags = {key.lower(): value for key, value in found.tags.items()}
    assert tags["title"] == "a clip"


@pytest.mark.parametrize("codec", ["aac", "libopus", "libmp3lame", "flac", "pcm_s16le"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_is_copied(tmp_path: Path, codec: str, suffix: str) -> None:
    audio, packets = sound(codec)
    info = replace(INFO, audio=(audio,))
    path = write(tmp_path / f"a.{suffix}", info, list(range(30)), packets=packets)
    found, frames, copied = read(path)
    assert len(frames) == 30
    (again,) = found.audio
    assert (again.codec, again.rate, again.layout) == (audio.codec, audio.rate, "mono")
    assert again.extradata == audio.extradata
    if (codec, suffix) == ("pcm_s16le", "mp4"):  # its reader cuts packets anew
        assert b"".join(p.data for p in copied) == b"".join(p.data for p in packets)
    else:
        assert [p.data for p in copied] == [p.data for p in packets]
    starts = [p.time * again.time_base for p in copied]
    wanted = [p.time * audio.time_base for p in packets]
    assert abs(starts[0] - wanted[0]) <= Fraction(1, 500)
    assert (codec, suffix) == ("pcm_s16le", "mp4") or abs(starts[-1] - wanted[-1]) < Fraction(1, 20)


def test_sound_comes_with_the_frames_of_its_time(tmp_path: Path) -> None:
    audio, packets = sound("aac")
    path = write(
        tmp_path / "a.mp4", replace(INFO, audio=(audio,)), list(range(30)), packets=packets
    )
    with ClipReader(path) as clip:
        info, items = clip.info, list(clip)
    now = Fraction(-1)
    for item, after in pairwise(items):
        if isinstance(item, ClipFrame):
            now = item.time * info.time_base
        elif isinstance(after, ClipFrame):
            assert item.time * info.audio[0].time_base >= now - Fraction(1, 30)


def turned(data: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """An MP4 whose display matrix says that players are to turn it."""
    a, b, c, d = matrix
    wire = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = data.index(identity, data.index(b"tkhd"))
    return data[:at] + wire + data[at + len(wire) :]


@pytest.mark.parametrize(
    ("matrix", "left"), [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)]
)
def test_rotation(tmp_path: Path, matrix: tuple[int, int, int, int], left: int) -> None:
    path = write(tmp_path / "a.mp4", replace(INFO, aspect=Fraction(4, 3)), make=smooth)
    path.write_bytes(turned(path.read_bytes(), matrix))
    info, frames, _ = read(path)
    expected = np.rot90(smooth(0), left)
    assert frames[0].pixels.shape == expected.shape == (info.height, info.width, 3)
    assert np.abs(frames[0].pixels - expected.astype(int)).max() <= 9
    assert info.aspect == (Fraction(3, 4) if left % 2 else Fraction(4, 3))


def test_some_frames_and_their_sound(tmp_path: Path) -> None:
    audio, packets = sound("aac")
    path = write(
        tmp_path / "a.mp4", replace(INFO, audio=(audio,)), list(range(30)), packets=packets
    )
    info, frames, some = read(path, frames=(10, 20))
    assert seconds(info, frames) == [Fraction(n, 30) for n in range(10)]
    assert np.abs(frames[0].pixels - smooth(10).astype(int)).max() <= 9
    unit = info.audio[0].time_base
    assert 0 <= some[0].time * unit < Fraction(1, 20)
    assert some[-1].time * unit < Fraction(10, 30)
    assert some[0].data in [p.data for p in packets]
    with pytest.raises(UsageError, match="it has 30 frames"):
        read(path, frames=(40, None))
    with pytest.raises(UsageError, match="--frames 3:3"):
        read(path, frames=(3, 3))


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_another_rate(tmp_path: Path, fps: int) -> None:
    path = write(tmp_path / "a.mp4", times=list(range(30)))
    info, frames, _ = read(path, fps=Fraction(fps))
    assert (info.rate, info.time_base, info.frames) == (fps, Fraction(1, fps), fps)
    assert [frame.time for frame in frames] == list(range(fps))
    whole = read(path)[1]
    for frame in frames[: fps - 1]:
        near = whole[min(29, int(Fraction(frame.time * 30, fps) + Fraction(1, 2)))]
        assert np.array_equal(frame.pixels, near.pixels) or fps > 30


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    target = tmp_path / "frames"
    write(target, make=pattern)
    assert sorted(path.name for path in target.iterdir()) == [f"{n:06d}.png" for n in range(1, 6)]
    info, frames, _ = read(target, fps=Fraction(10))
    assert error(frames, pattern, INFO) == 0
    assert seconds(info, frames) == [Fraction(n, 10) for n in range(5)]
    assert info.frames == 5


def test_pictures_are_sorted_as_people_count(tmp_path: Path) -> None:
    for number in (10, 9, 100):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / f"f{number}.png")
    _, frames, _ = read(tmp_path)
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [9, 10, 100]
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "f101.png")
    with pytest.raises(IcmhError, match=r"f101\.png: 9x8, but f9\.png is of another size"):
        read(tmp_path)


def read_piped(data: bytes) -> Any:
    out, into = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), os.fdopen(into, "wb") as pipe:
            pipe.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        with os.fdopen(out, "rb") as pipe:
            return read(pipe)
    finally:
        thread.join()


def test_a_pipe(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mkv", make=pattern, codec="ffv1").read_bytes()
    info, frames, _ = read_piped(data)
    assert error(frames, pattern, info) == 0


def test_an_mp4_through_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio, packets = sound("aac")
    stdout = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", stdout)
    info = replace(INFO, audio=(audio,))
    write(Path("-"), info, packets=packets, format="mp4")
    found, frames, heard = read_piped(stdout.buffer.getvalue())
    assert (found.rate, len(frames)) == (INFO.rate, 5)
    assert [packet.data for packet in heard] == [packet.data for packet in packets]
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as made:  # its index is at the end, and far off
        stream = made.add_stream("libx264", rate=25, options={"crf": "2"})
        stream.width, stream.height = 256, 256
        made.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        made.mux(stream.encode(None))
    with pytest.raises(IcmhError, match="needs its index in front"):
        read_piped((tmp_path / "a.mp4").read_bytes())


def test_avi(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as made:
        stream = made.add_stream("rawvideo", rate=12)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "bgr24"
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(pattern(number), format="rgb24")
            made.mux(stream.encode(frame.reformat(format="bgr24")))
    info, frames, _ = read(tmp_path / "a.avi")
    assert error(frames, pattern, info) == 0
    assert seconds(info, frames) == [Fraction(n, 12) for n in range(4)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("share", [0.02, 0.4, 0.8])
def test_a_clip_that_was_cut_off(tmp_path: Path, suffix: str, share: float) -> None:
    path = write(tmp_path / f"a.{suffix}", times=list(range(90)), make=pattern)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(IcmhError, match=rf"a\.{suffix}: ") as raised:
        read(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.mp4", b"this is a letter, not a clip" * 40, "not a clip that can be read"),
        ("a.mkv", b"", "not a clip that can be read"),
        ("a.wav", None, "no moving pictures"),
    ],
)
def test_what_is_no_clip(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    path = tmp_path / name
    if data is None:
        with av.open(str(path), "w") as made:
            stream = made.add_stream("pcm_s16le", rate=8000)
            stream.layout = "mono"
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            frame.sample_rate = 8000
            made.mux(stream.encode(frame))
    else:
        path.write_bytes(data)
    with pytest.raises(IcmhError, match=message):
        read(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the folder has no"):
        read(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "none.mp4")


def spoilt(target: Path) -> None:
    """Fail amid the writing."""
    with ClipWriter(target, INFO) as writer:
        writer.write_frame(smooth(0), 0)
        writer.write_frame(smooth(0)[:5], 1)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.y4m"])
def test_nothing_is_left_of_what_went_wrong(tmp_path: Path, name: str) -> None:
    with pytest.raises(IcmhError, match="frames are uint8"):
        spoilt(tmp_path / name)
    writer = ClipWriter(tmp_path / name, INFO)
    writer.write_frame(smooth(0), 0)
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_folder_that_was_given_up(tmp_path: Path) -> None:
    writer = ClipWriter(tmp_path / "folder", INFO)
    writer.write_frame(smooth(0), 0)
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_exists(tmp_path: Path) -> None:
    write(tmp_path / "folder")
    path = write(tmp_path / "a.mp4")
    for target in (path, tmp_path / "folder"):
        with pytest.raises(ExistsError, match="--force"):
            ClipWriter(target, INFO)
    write(path, times=[0, 1], force=True)
    write(tmp_path / "folder", times=[0, 1], force=True)
    assert len(read(path)[1]) == len(read(tmp_path / "folder")[1]) == 2
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / "folder" / "notes.txt").write_text("of somebody")
    with pytest.raises(UsageError, match=r"holds notes\.txt, which is no frame"):
        ClipWriter(tmp_path / "folder", INFO, force=True)
    assert len(list((tmp_path / "folder").iterdir())) == 3


@pytest.mark.parametrize("codec", ["mjpeg", "subrip", "nothing"])
def test_sound_of_what_is_no_sound(tmp_path: Path, codec: str) -> None:
    sound = ClipAudio(codec, 48000, "mono", Fraction(1, 48000), b"")
    with pytest.raises(IcmhError, match=f"cannot hold sound of {codec}"):
        ClipWriter(tmp_path / "a.mkv", replace(INFO, audio=(sound,)))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'gif' cannot be written"):
        ClipWriter(tmp_path / "a.gif", INFO)
    with pytest.raises(UsageError, match="codec 'x266'"):
        ClipWriter(tmp_path / "a.mp4", INFO, codec="x266")
    with pytest.raises(UsageError, match="stdout: say in which format"):
        ClipWriter("-", INFO)
    strange = replace(INFO, audio=(ClipAudio("wmapro", 48000, "mono", Fraction(1, 48000)),))
    with pytest.raises(IcmhError, match="cannot hold sound of wmapro"):
        ClipWriter(tmp_path / "a.mp4", strange)
    assert list(tmp_path.iterdir()) == []
    assert not ClipWriter(tmp_path / "a.y4m", strange).sound
