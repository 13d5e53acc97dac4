"""Sequences for the container's tests: a fixed one, and strategies that draw any."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from icmhcodec.container import HUMAN, Chunk, LayerData, MaskKind, Reference
from icmhcodec.container.video import (
    LATENTS,
    AudioPacket,
    AudioStream,
    Choice,
    Colour,
    Frame,
    Header,
    Latent,
    LatentData,
    Layer,
    Writer,
)
from tests.container.samples import crcs, names, payloads, references

CODEC = Reference("mbt2018-mean-gain-0", bytes(range(8)))
DVC = Reference("dvc-0", b"dvc--dvc")
DET = Reference("det-0", b"detector")
DERIVED = Choice(1, MaskKind.DERIVED, DET, DET)
FULL = Choice(0, MaskKind.FULL)
AUDIO = AudioStream("aac", 48000, "stereo", Fraction(1, 48000), b"\x11\x90")
TAGS = Chunk("iCCp", b"profile")
PRIVATE = Chunk("prIv", b"private")

Item = Frame | AudioPacket | Chunk


@dataclass(frozen=True)
class Clip:
    """A header, what goes before all frames, and what follows."""

    header: Header
    items: Sequence[Item]
    ancillary: Sequence[Chunk] = ()

    def build(self) -> bytes:
        stream = io.BytesIO()
        writer = Writer(stream, self.header, self.ancillary)
        for item in self.items:
            put(writer, item)
        writer.close()
        return stream.getvalue()


def put(writer: Writer, item: Item) -> None:
    if isinstance(item, Frame):
        writer.write_frame(item)
    elif isinstance(item, AudioPacket):
        writer.write_audio(item)
    else:
        writer.write_ancillary(item)


def header(tasks: int = 1, **changes: Any) -> Header:
    layers = [Layer(f"task{i}" if i else "det", (DERIVED,) * 3) for i in range(tasks)]
    layers.append(Layer(HUMAN, (FULL,) * 3))
    wanted = Header(
        width=256,
        height=144,
        time_base=Fraction(1, 30),
        intra=CODEC,
        latents=(Latent(192, 128, 1024, 4), Latent(128, 128, 1024), Latent(192, 128, 1024, 4)),
        layers=tuple(layers),
        inter=DVC,
        rate=Fraction(30),
        gop=4,
        audio=(AUDIO,),
        colour=Colour(1, 1, 1, False),
    )
    return replace(wanted, **changes)


def frame(wanted: Header, number: int, size: int = 8, **changes: Any) -> Frame:
    """A frame with so many bytes in every segment."""
    intra = number % wanted.gop == 0
    latents = {
        LATENTS[i]: LatentData(
            (b"h%07d" % number,) * wanted.hyper_segments(i),
            tuple(
                LayerData(segments=((b"%d.%d.%d...." % (number, i, j))[:8].ljust(size, b"s"),))
                for j in range(len(wanted.layers))
            ),
        )
        for i in wanted.latents_of(intra)
    }
    crcs = tuple(1000 * number + j for j in range(len(wanted.layers)))
    made = Frame(intra, number * wanted.step, latents, crcs, number=number)
    return replace(made, **changes)


def packet(number: int) -> AudioPacket:
    return AudioPacket(0, 1024 * number - 1024, 1024, b"sound %d" % number)


def clip(frames: int = 10, tasks: int = 1) -> Clip:
    """Frames with sound and an unknown chunk between them."""
    wanted = header(tasks)
    items: list[Item] = []
    for number in range(frames):
        items.append(frame(wanted, number))
        if number % 2 == 0:
            items.append(packet(number // 2))
        if number == 5:
            items.append(PRIVATE)
    return Clip(wanted, items, (TAGS,))


ratios = st.fractions(min_value=Fraction(1, 1000), max_value=1000, max_denominator=100_000)
segments = st.binary(min_size=1, max_size=30)
texts = st.from_regex(r"[!-~]{1,20}", fullmatch=True)


@st.composite
def choices(draw: Any) -> Choice:
    mask = draw(st.sampled_from(MaskKind))
    predictor = draw(references) if mask is MaskKind.DERIVED else None
    return Choice(draw(st.integers(0, 255)), mask, predictor, draw(st.none() | references))


@st.composite
def headers(draw: Any) -> Header:
    count = draw(st.sampled_from([1, 3]))
    tasks = draw(st.lists(names | st.sampled_from(["cls", "det"]), max_size=3, unique=True))
    layers = [
        Layer(task, tuple(draw(choices()) for _ in range(count))) for task in tasks if task != HUMAN
    ]
    if not layers or draw(st.booleans()):
        layers.append(Layer(HUMAN, (FULL,) * count))
    # Sizes and channels on both sides of what one segment holds.
    latents = st.builds(
        Latent,
        st.sampled_from([1, 192, 1024]),
        st.sampled_from([0, 1, 300]),
        st.integers(0, 2304),
        st.integers(0, 64),
    )
    audio = st.builds(
        AudioStream, texts, st.integers(1, 192_000), texts, ratios, st.binary(max_size=200)
    )
    return Header(
        width=draw(st.integers(1, 2000)),
        height=draw(st.integers(1, 600)),
        time_base=draw(ratios),
        intra=draw(references),
        latents=tuple(draw(latents) for _ in range(count)),
        layers=tuple(layers),
        inter=draw(references) if count == 3 else None,
        channels=draw(st.sampled_from([1, 3])),
        turns=draw(st.integers(0, 3)),
        aspect=draw(ratios),
        colour=Colour(*(draw(st.integers(0, 255)) for _ in range(3)), draw(st.booleans())),
        rate=draw(st.just(Fraction(0)) | ratios),
        step=draw(st.integers(0, 1000)),
        gop=draw(st.integers(1, 200)) if count == 3 else 1,
        audio=tuple(draw(st.lists(audio, max_size=2))),
    )


@st.composite
def layer_data(draw: Any, wanted: Header, layer: int, index: int) -> LayerData:
    mask = wanted.layers[layer].choices[index].mask
    most = 0 if mask is MaskKind.EMPTY else min(3, -(-wanted.elements(index) // 65_536))
    explicit = draw(payloads) if mask is MaskKind.EXPLICIT else b""
    return LayerData(explicit, tuple(draw(st.lists(segments, max_size=most))))


@st.composite
def sequences(draw: Any) -> Clip:
    """Any valid sequence of a few frames, with sound and ancillary chunks anywhere."""
    wanted = draw(headers())
    items: list[Item] = []
    time = draw(st.integers(-(2**40), 2**40))
    since = 0
    for number in range(draw(st.integers(1, 5))):
        intra = number == 0 or since + 1 >= wanted.gop or draw(st.booleans())
        since = 0 if intra else since + 1
        time += max(1, wanted.step) if draw(st.booleans()) else draw(st.integers(1, 2**20))
        latents = {
            LATENTS[i]: LatentData(
                tuple(draw(segments) for _ in range(wanted.hyper_segments(i))),
                tuple(draw(layer_data(wanted, j, i)) for j in range(len(wanted.layers))),
            )
            for i in wanted.latents_of(intra)
        }
        qualities = st.tuples(*[st.integers(0, 2304)] * len(latents))
        items.append(
            Frame(
                intra,
                time,
                latents,
                tuple(draw(crcs) for _ in wanted.layers),
                draw(st.none() | qualities),
                number,
            )
        )
        if wanted.audio and draw(st.booleans()):
            stream = draw(st.integers(0, len(wanted.audio) - 1))
            times = st.integers(-(2**50), 2**50)
            items.append(AudioPacket(stream, draw(times), draw(st.integers(0, 9999)), b"packet"))
        if draw(st.integers(0, 3)) == 0:
            items.append(Chunk("prIv", draw(payloads)))
    kinds = [kind for kind in ("iCCp", "eXIf", "xMPp", "tAGs") if draw(st.booleans())]
    return Clip(wanted, items, [Chunk(kind, draw(payloads)) for kind in kinds])
