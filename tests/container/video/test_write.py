import io
from dataclasses import replace
from typing import Any

import pytest

from icmhcodec.container import Chunk, LayerData, Limits, MaskKind
from icmhcodec.container.video import AudioPacket, LatentData, Reader, Writer, inspect
from icmhcodec.errors import FormatError
from tests.container.video.samples import TAGS, Clip, frame, header, packet

HEADER = header()


def writer(*frames: int, **options: Any) -> Writer:
    made = Writer(io.BytesIO(), HEADER, **options)
    for number in frames:
        made.write_frame(frame(HEADER, number))
    return made


def changed(number: int, latent: str, **changes: Any) -> Any:
    made = frame(HEADER, number)
    latents = {**made.latents, latent: replace(made.latents[latent], **changes)}
    return replace(made, latents=latents)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (frame(HEADER, 1), "the first frame is an I frame"),
        (replace(frame(HEADER, 0), crcs=(1,)), "not the 2 layers"),
        (replace(frame(HEADER, 0), latents={}), "its latents are not intra"),
        (replace(frame(HEADER, 0), qualities=(2305,)), "above 9"),
        (changed(0, "intra", hyper=()), "segments of a hyper-latent"),
        (changed(0, "intra", layers=(LayerData(b"mask", ()),) * 2), "not explicit"),
        (changed(0, "intra", layers=(LayerData(segments=(b"a", b"b")),) * 2), "it can have 1"),
        (changed(0, "intra", layers=(LayerData(segments=(b"",)),) * 2), "without bytes"),
        (changed(0, "intra", hyper=(b"x" * 900_000,)), "more bytes"),
    ],
)
def test_frames_that_are_refused(made: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        writer().write_frame(made)


def test_times_and_groups() -> None:
    made = writer(0, 1)
    with pytest.raises(FormatError, match="not after 1"):
        made.write_frame(frame(HEADER, 2, time=1))
    made = writer(0, 1, 2, 3)
    with pytest.raises(FormatError, match="at most 4 frames"):
        made.write_frame(frame(HEADER, 5))


def test_intra_frames_alone() -> None:
    wanted = header(latents=HEADER.latents[:1], inter=None, gop=1, audio=())
    wanted = replace(
        wanted, layers=tuple(replace(la, choices=la.choices[:1]) for la in wanted.layers)
    )
    blob = Clip(wanted, [frame(wanted, n) for n in range(3)]).build()
    assert [item.intra for item in Reader(io.BytesIO(blob))] == [True] * 3
    with pytest.raises(FormatError, match="no codec of them"):
        Writer(io.BytesIO(), wanted).write_frame(frame(HEADER, 1))


def test_other_chunks() -> None:
    made = writer(0)
    with pytest.raises(FormatError, match="no audio stream 1"):
        made.write_audio(AudioPacket(1, 0, 0, b""))
    with pytest.raises(FormatError, match="too large"):
        writer(0, limits=Limits(packet=5)).write_audio(packet(0))
    with pytest.raises(FormatError, match="before all frames"):
        made.write_ancillary(TAGS)
    for type_ in ("PRIV", "aLPh", "aUDi", "priv"):
        with pytest.raises(FormatError, match="not the type of an ancillary chunk"):
            made.write_ancillary(Chunk(type_, b""))
    with pytest.raises(FormatError, match="stands twice"):
        writer(ancillary=(TAGS, TAGS))


def test_closing() -> None:
    with pytest.raises(FormatError, match="without frames"):
        writer().close()
    made = writer(0)
    made.close()
    made.close()
    with pytest.raises(FormatError, match="closed"):
        made.write_frame(frame(HEADER, 1))


def test_sound_before_the_first_frame_waits_for_it() -> None:
    made = writer()
    made.write_audio(packet(0))
    made.write_frame(frame(HEADER, 0))
    made.write_audio(packet(1))
    made.close()
    stream = made._stream
    stream.seek(0)
    assert [type(item).__name__ for item in Reader(stream)] == [
        "Frame",
        "AudioPacket",
        "AudioPacket",
    ]


def test_the_same_input_gives_the_same_bytes() -> None:
    one, two = (Clip(HEADER, [frame(HEADER, n) for n in range(5)]).build() for _ in range(2))
    assert one == two


def test_the_end_is_that_of_the_last_frame() -> None:
    made = writer(0)
    made.write_frame(frame(HEADER, 1), duration=7)
    made.close()
    made._stream.seek(0)
    index = inspect(made._stream).index
    assert index is not None
    assert index.end == 8


def test_many_segments_and_masks() -> None:
    """Latents of more than one segment say how many there are, also none."""
    wide = header(width=1280, height=720, audio=())
    choice = replace(wide.layers[0].choices[0], mask=MaskKind.EXPLICIT, predictor=None)
    wide = replace(wide, layers=(replace(wide.layers[0], choices=(choice,) * 3), wide.layers[1]))
    made = frame(wide, 0)
    layers = (LayerData(b"mask", ()), LayerData(segments=(b"one", b"two", b"three")))
    made = replace(made, latents={"intra": LatentData(made.latents["intra"].hyper, layers)})
    (found,) = Reader(io.BytesIO(Clip(wide, [made]).build()))
    assert found == made
