"""Frames and packets of sound, and the payloads of their chunks (formats/icm.md, 14.3 to 14.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from icmhcodec.container import structure
from icmhcodec.container.contents import LayerData
from icmhcodec.container.header import MOST_QUALITY, SEGMENT_SYMBOLS, MaskKind, segments_of
from icmhcodec.container.read import segments_in
from icmhcodec.container.structure import NUMBER_BYTES
from icmhcodec.container.tables import pack_numbers, read_numbers
from icmhcodec.container.video.header import LATENTS, Header
from icmhcodec.errors import FormatError

COUNTS = 64  # frames of a group are counted modulo so many
_START_BYTES = 64  # more than the fields before the first length take


@dataclass(frozen=True)
class LatentData:
    """Bytes of a latent: the segments of its hyper-latent, and its layers from the first on."""

    hyper: tuple[bytes, ...]
    layers: tuple[LayerData, ...]


@dataclass(frozen=True)
class Frame:
    """A frame: its latents by name (`LATENTS`), its presentation time, a CRC for each layer.

    A part of a sequence, or one that was cut off, holds the first layers only. `qualities` are
    those of this frame's latents where they are not the header's. A reader fills in `number`.
    """

    intra: bool
    time: int
    latents: dict[str, LatentData]
    crcs: tuple[int, ...]
    qualities: tuple[int, ...] | None = None
    number: int = 0

    @property
    def layers(self) -> int:
        """How many of the header's layers are here."""
        return len(self.crcs)


@dataclass(frozen=True)
class AudioPacket:
    """A packet of sound: index of its stream, time and duration in the stream's units, bytes."""

    stream: int
    time: int
    duration: int
    data: bytes


@dataclass(frozen=True)
class First:
    """What a frame's first chunk holds."""

    intra: bool
    count: int  # frames since the I frame, modulo COUNTS
    number: int | None  # of an I frame
    time: int | None  # of an I frame; of a P frame since the last one, None for the usual
    qualities: tuple[int, ...] | None
    crc: int
    hyper: tuple[tuple[bytes, ...], ...]
    layer: tuple[LayerData, ...]


@dataclass(frozen=True)
class Later:
    """What a chunk of a frame's later layer holds."""

    layer: int
    crc: int
    data: tuple[LayerData, ...]


def pack_first(header: Header, frame: Frame, *, number: int, count: int, step: int | None) -> bytes:
    """Payload of a frame's first chunk; `step` is the time since the last frame."""
    usual = step == header.step
    value: dict[str, Any] = {
        "flags": {
            "count": count % COUNTS,
            "qualities": frame.qualities is not None,
            "timed": not frame.intra and not usual,
        },
        "frame": number,
        "time": frame.time if frame.intra else step,
        "qualities": frame.qualities,
        "crc": frame.crcs[0],
    }
    indexes = header.latents_of(frame.intra)
    declared = structure.INTRA_START if frame.intra else structure.INTER_START
    what = f"write, frame {number}"
    _check_qualities(frame.qualities, what)
    start = structure.pack(declared, value, what, latents=len(indexes))
    return b"".join(
        [
            start,
            *(_packed_hyper(header, i, _latent(frame, i), what) for i in indexes),
            *_packed_layer(header, frame, 0, what),
        ]
    )


def pack_later(header: Header, frame: Frame, layer: int, *, number: int) -> bytes:
    """Payload of the chunk of a layer that is not the first."""
    what = f"write, frame {number}, layer {layer}"
    value = {"layer": layer, "crc": frame.crcs[layer]}
    start = structure.pack(structure.LATER_START, value, what)
    return b"".join([start, *_packed_layer(header, frame, layer, what)])


def check_frame(header: Header, frame: Frame, what: str) -> None:
    """Raise FormatError for a frame that is not a complete one of the header."""
    names = {LATENTS[i] for i in header.latents_of(frame.intra)}
    if not frame.intra and header.inter is None:
        raise FormatError(f"{what}: a P frame, but the header has no codec of them")
    if set(frame.latents) != names:
        raise FormatError(f"{what}: its latents are not {', '.join(sorted(names))}")
    counts = {len(latent.layers) for latent in frame.latents.values()} | {frame.layers}
    if counts != {len(header.layers)}:
        raise FormatError(f"{what}: not the {len(header.layers)} layers of the header")


def _latent(frame: Frame, index: int) -> LatentData:
    return frame.latents[LATENTS[index]]


def _packed_hyper(header: Header, index: int, latent: LatentData, what: str) -> bytes:
    if len(latent.hyper) != header.hyper_segments(index):
        raise FormatError(f"{what}: {len(latent.hyper)} segments of a hyper-latent")
    if not latent.hyper:
        return b""
    return _prefixed(_segments(latent.hyper, what), what)


def _packed_layer(header: Header, frame: Frame, layer: int, what: str) -> list[bytes]:
    *others, last = (
        _packed_data(header, layer, i, _latent(frame, i).layers[layer], what)
        for i in header.latents_of(frame.intra)
    )
    return [*(_prefixed(part, what) for part in others), last]


def _packed_data(header: Header, layer: int, index: int, data: LayerData, what: str) -> bytes:
    mask = header.layers[layer].choices[index].mask
    most = segments_of(header.elements(index))
    if data.tiles or (data.mask and mask is not MaskKind.EXPLICIT):
        raise FormatError(f"{what}: tiles, or a mask that is not explicit")
    if len(data.segments) > (most if mask is not MaskKind.EMPTY else 0):
        raise FormatError(f"{what}: {len(data.segments)} segments, but it can have {most}")
    if not all(data.segments):
        raise FormatError(f"{what}: a segment without bytes")
    start = _prefixed(data.mask, what) if mask is MaskKind.EXPLICIT else b""
    if _counted(header, layer, index):
        start += pack_numbers([len(data.segments)], what)
    return start + _segments(data.segments, what)


def _counted(header: Header, layer: int, index: int) -> bool:
    """Whether the number of segments is on the wire: only where it can be more than one."""
    empty = header.layers[layer].choices[index].mask is MaskKind.EMPTY
    return not empty and header.elements(index) > SEGMENT_SYMBOLS


def _segments(segments: tuple[bytes, ...], what: str) -> bytes:
    return b"".join([pack_numbers(map(len, segments[:-1]), what), *segments])


def _prefixed(data: bytes, what: str) -> bytes:
    return pack_numbers([len(data)], what) + data


def unpack_first(header: Header, intra: bool, payload: memoryview, what: str) -> First:
    """What the first chunk of a frame holds; FormatError where it is not valid."""
    indexes = header.latents_of(intra)
    declared = structure.INTRA_START if intra else structure.INTER_START
    start = structure.unpack(declared, bytes(payload[:_START_BYTES]), what, latents=len(indexes))
    if intra and (start.flags.count or start.flags.timed):
        raise FormatError(f"{what}: flags that no I frame has")
    if not intra and start.flags.timed and start.time == header.step:
        raise FormatError(f"{what}: its time is spelled out, but it is the usual one")
    if not intra and not (start.time if start.flags.timed else header.step):
        raise FormatError(f"{what}: it has the time of the frame before it")
    qualities = tuple(start.qualities) if start.flags.qualities else None
    _check_qualities(qualities, what)
    at, hyper = start.size, []
    for index in indexes:
        count = header.hyper_segments(index)
        begin, at = _span(payload, at, what) if count else (at, at)
        hyper.append(segments_in(payload, begin, at, count, f"{what}, hyper"))
    return First(
        intra=intra,
        count=start.flags.count,
        number=start.frame if intra else None,
        time=start.time,
        qualities=qualities,
        crc=start.crc,
        hyper=tuple(hyper),
        layer=_unpacked_layer(header, indexes, 0, payload, at, what),
    )


def unpack_later(header: Header, intra: bool, payload: memoryview, what: str) -> Later:
    """What the chunk of a later layer holds; FormatError where it is not valid."""
    start = structure.unpack(structure.LATER_START, bytes(payload[:_START_BYTES]), what)
    if not 1 <= start.layer < len(header.layers):
        raise FormatError(f"{what}: the header has no layer {start.layer} after the first")
    indexes = header.latents_of(intra)
    data = _unpacked_layer(header, indexes, start.layer, payload, start.size, what)
    return Later(start.layer, start.crc, data)


def _unpacked_layer(
    header: Header, indexes: tuple[int, ...], layer: int, payload: memoryview, at: int, what: str
) -> tuple[LayerData, ...]:
    data = []
    for index in indexes:
        last = index == indexes[-1]
        begin, at = (at, len(payload)) if last else _span(payload, at, what)
        data.append(_unpacked_data(header, layer, index, payload[begin:at], what))
    return tuple(data)


def _unpacked_data(
    header: Header, layer: int, index: int, data: memoryview, what: str
) -> LayerData:
    what = f"{what}, {LATENTS[index]}"
    at, mask = 0, b""
    if header.layers[layer].choices[index].mask is MaskKind.EXPLICIT:
        begin, at = _span(data, 0, what)
        mask = bytes(data[begin:at])
    count = int(at < len(data))
    if _counted(header, layer, index):
        (count,), size = read_numbers(bytes(data[at : at + NUMBER_BYTES]), 1, what)
        at += size
        if count > segments_of(header.elements(index)):
            raise FormatError(f"{what}: {count} segments are more than it can have")
    elif count and header.layers[layer].choices[index].mask is MaskKind.EMPTY:
        raise FormatError(f"{what}: bytes of an empty layer")
    segments = segments_in(data, at, len(data), count, what)
    if not all(segments):
        raise FormatError(f"{what}: a segment without bytes")
    return LayerData(mask, segments)


def _span(payload: memoryview, at: int, what: str) -> tuple[int, int]:
    """Where so many bytes as the number at `at` says begin and end."""
    (length,), size = read_numbers(bytes(payload[at : at + NUMBER_BYTES]), 1, what)
    begin = at + size
    if begin + length > len(payload):
        raise FormatError(f"{what}: a part of it is longer than the payload")
    return begin, begin + length


def _check_qualities(qualities: tuple[int, ...] | None, what: str) -> None:
    if any(not 0 <= quality <= MOST_QUALITY for quality in qualities or ()):
        raise FormatError(f"{what}: a quality above 9.0")


def pack_audio(packet: AudioPacket) -> bytes:
    """Payload of an audio chunk."""
    value = {"stream": packet.stream, "time": packet.time, "duration": packet.duration}
    return structure.pack(structure.AUDIO_START, value, "write, audio") + packet.data


def unpack_audio(header: Header, payload: memoryview, what: str) -> AudioPacket:
    """The packet of an audio chunk; FormatError where it is not valid."""
    start = structure.unpack(structure.AUDIO_START, bytes(payload[:_START_BYTES]), what)
    if start.stream >= len(header.audio):
        raise FormatError(f"{what}: the header has no audio stream {start.stream}")
    return AudioPacket(start.stream, start.time, start.duration, bytes(payload[start.size :]))
