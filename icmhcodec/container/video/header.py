"""The header of a sequence (formats/icm.md, 14.2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from icmhcodec.container import structure
from icmhcodec.container.header import (
    MOST_CHANNELS,
    MOST_QUALITY,
    MOST_SKIP,
    NO_ID,
    MaskKind,
    Reference,
    segments_of,
)
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.container.names import HUMAN, Version, valid_name
from icmhcodec.container.structure import SEQUENCE_VERSION, UnknownFeatureError
from icmhcodec.errors import FormatError

INT_END = 1 << 31  # ratios and rates are of numbers below it, as those of FFmpeg are
LATENTS = ("intra", "motion", "residual")
_SYMBOL_BYTES = 8  # more than the coder writes for a symbol and its share of a mask


@dataclass(frozen=True)
class Colour:
    """What the decoded pixels are to be tagged as: code points of ITU-T H.273, and the range."""

    primaries: int
    transfer: int
    matrix: int
    full: bool


UNKNOWN_COLOUR = Colour(2, 2, 2, False)


@dataclass(frozen=True)
class AudioStream:
    """Sound that is kept as it is: FFmpeg's names of codec and layout, Hz, seconds, bytes."""

    codec: str
    rate: int
    layout: str
    time_base: Fraction
    extradata: bytes = b""


@dataclass(frozen=True)
class Latent:
    """A latent of all frames: its channels, those of its hyper-latent, quality in 1/256, skip."""

    channels: int
    hyper_channels: int
    quality: int
    skip: int = 0


@dataclass(frozen=True)
class Choice:
    """What a layer takes of one latent."""

    level: int
    mask: MaskKind
    predictor: Reference | None = None
    adapter: Reference | None = None


@dataclass(frozen=True)
class Layer:
    """What a task takes of each latent, in the order of the header's latents."""

    task: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Header:
    """What all frames share; the writer fills in `sequence_id`.

    Times are in units of `time_base` seconds, `step` is the usual one from frame to frame (0: none)
    and `rate` that many frames per second, 0 if there is no one rate. `gop` is the most frames from
    an I frame to the next. The latents are those of `LATENTS`, or the first alone where all frames
    are I frames; then there is no codec `inter`. `turns` are quarter turns clockwise for display.
    """

    width: int
    height: int
    time_base: Fraction
    intra: Reference
    latents: tuple[Latent, ...]
    layers: tuple[Layer, ...]
    inter: Reference | None = None
    channels: int = 3
    depth: int = 8
    turns: int = 0
    aspect: Fraction = Fraction(1)
    colour: Colour = UNKNOWN_COLOUR
    rate: Fraction = Fraction(0)
    step: int = 1
    gop: int = 1
    audio: tuple[AudioStream, ...] = ()
    sequence_id: bytes = NO_ID

    @property
    def has_human(self) -> bool:
        """Whether complete frames have a human layer."""
        return self.layers[-1].task == HUMAN

    def latents_of(self, intra: bool) -> tuple[int, ...]:
        """Indexes of the latents of an I frame or a P frame."""
        return (0,) if intra else (1, 2)

    def elements(self, latent: int) -> int:
        """Elements of a latent of one frame, one position for every 16x16 pixels."""
        return self.latents[latent].channels * _cells(self.width, self.height, 16)

    def hyper_segments(self, latent: int) -> int:
        """Segments of a hyper-latent, one position for every 64x64 pixels."""
        return segments_of(
            self.latents[latent].hyper_channels * _cells(self.width, self.height, 64)
        )

    def layer_of(self, task: str) -> int | None:
        """Index of a task's layer, None if there is none."""
        return next((i for i, layer in enumerate(self.layers) if layer.task == task), None)

    @property
    def most_bytes(self) -> int:
        """The most bytes that the payload of a frame's chunk can have."""
        symbols = sum(
            self.elements(i) + latent.hyper_channels * _cells(self.width, self.height, 64)
            for i, latent in enumerate(self.latents)
        )
        return _SYMBOL_BYTES * symbols + 1024


def _cells(width: int, height: int, stride: int) -> int:
    return -(-width // stride) * -(-height // stride)


def pack_header(header: Header) -> bytes:
    """Payload of the `SEQH` chunk."""
    value = asdict(header)
    value |= value.pop("colour")
    value["range"] = int(value.pop("full"))
    for wire, layer in zip(value["layers"], header.layers, strict=True):
        for choice, own in zip(wire["choices"], layer.choices, strict=True):
            choice["flags"] = {
                "reserved": 0,
                "adapter": own.adapter is not None,
                "mask": own.mask,
            }
    return structure.pack(structure.SEQUENCE, value, "sequence header", version=SEQUENCE_VERSION)


def unpack_header(payload: bytes, version: Version, limits: Limits = DEFAULT_LIMITS) -> Header:
    """The header of a `SEQH` payload, checked; FormatError where it is not a valid one."""
    wire = structure.unpack(structure.SEQUENCE, payload, "sequence header", version=version)
    if wire.range > 1:
        raise UnknownFeatureError(f"sequence header: colour range {wire.range} is not known")
    header = Header(
        width=wire.width,
        height=wire.height,
        time_base=wire.time_base,
        intra=_reference(wire.intra),
        latents=tuple(
            Latent(la.channels, la.hyper_channels, la.quality, la.skip) for la in wire.latents
        ),
        layers=tuple(Layer(la.task, tuple(map(_choice, la.choices))) for la in wire.layers),
        inter=wire.inter and _reference(wire.inter),
        channels=wire.channels,
        depth=wire.depth,
        turns=wire.turns,
        aspect=wire.aspect,
        colour=Colour(wire.primaries, wire.transfer, wire.matrix, bool(wire.range)),
        rate=wire.rate,
        step=wire.step,
        gop=wire.gop,
        audio=tuple(
            AudioStream(a.codec, a.rate, a.layout, a.time_base, bytes(a.extradata))
            for a in wire.audio
        ),
        sequence_id=wire.sequence_id,
    )
    check_header(header, limits)
    return header


def _reference(wire: Any) -> Reference:
    return Reference(wire.id, wire.fingerprint)


def _choice(wire: Any) -> Choice:
    if wire.flags.reserved:
        raise UnknownFeatureError("sequence header: a layer has a flag that is not known")
    predictor = wire.predictor and _reference(wire.predictor)
    adapter = wire.adapter and _reference(wire.adapter)
    return Choice(wire.level, MaskKind(wire.flags.mask), predictor, adapter)


def check_header(header: Header, limits: Limits) -> None:
    """Raise FormatError where a header is inconsistent, out of range or beyond the limits."""
    _check_frames(header, limits)
    _check_times(header)
    _require(len(header.audio) <= limits.audio, f"more than {limits.audio} audio streams")
    for stream in header.audio:
        _require(stream.rate > 0 and stream.time_base > 0, "an audio stream without a rate")
        _require(stream.rate < INT_END, f"{stream.rate} samples per second")
    _require(len(header.latents) in (1, 3), f"{len(header.latents)} latents, not 1 or 3")
    single = len(header.latents) == 1
    _require(single == (header.inter is None), "a codec of P frames, but not their latents")
    _require(not single or header.gop == 1, "P frames, but no codec of them")
    for reference in (header.intra, header.inter):
        _check_reference(reference)
    for latent in header.latents:
        _check_latent(latent)
    _check_layers(header, limits)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise FormatError(f"sequence header: {message}")


def _check_frames(header: Header, limits: Limits) -> None:
    size = f"frames of {header.width}x{header.height} pixels"
    _require(header.width >= 1 and header.height >= 1, f"{size} are empty")
    few = header.width * header.height <= min(limits.frame, limits.pixels)
    short = max(header.width, header.height) <= limits.side
    _require(few and short, f"{size} are beyond the limit")
    if header.channels not in (1, 3):
        raise UnknownFeatureError(f"sequence header: {header.channels} channels are not known")
    if header.depth != 8:
        raise UnknownFeatureError(f"sequence header: a depth of {header.depth} bits is not known")
    _require(0 <= header.turns <= 3, f"{header.turns} quarter turns, not 0 to 3")
    _require(len(header.sequence_id) == 8, "a sequence id has 8 bytes")


def _check_times(header: Header) -> None:
    _require(header.time_base > 0, "a time base of nothing")
    _require(header.aspect > 0, "pixels without a shape")
    _require(header.rate >= 0, "a negative frame rate")
    _require(header.gop >= 1, "groups without a frame")
    audio = (stream.time_base for stream in header.audio)
    for ratio in (header.time_base, header.aspect, header.rate, *audio):
        _require(max(ratio.as_integer_ratio()) < INT_END, f"{ratio} has a number of 2^31 or more")


def _check_reference(reference: Reference | None) -> None:
    if reference is not None:
        _require(valid_name(reference.id), f"{reference.id!r} is not a valid name")
        _require(len(reference.fingerprint) == 8, "a fingerprint has 8 bytes")


def _check_latent(latent: Latent) -> None:
    most = MOST_CHANNELS
    _require(1 <= latent.channels <= most, f"{latent.channels} channels, not 1 to {most}")
    _require(0 <= latent.hyper_channels <= most, f"more than {most} channels of a hyper-latent")
    _require(0 <= latent.quality <= MOST_QUALITY, f"quality {latent.quality} is above 9.0")
    _require(0 <= latent.skip <= MOST_SKIP, f"skip index {latent.skip} is above {MOST_SKIP}")


def _check_layers(header: Header, limits: Limits) -> None:
    tasks = [layer.task for layer in header.layers]
    _require(1 <= len(tasks) <= limits.layers, f"{len(tasks)} layers, not 1 to {limits.layers}")
    _require(len(set(tasks)) == len(tasks), "a task has two layers")
    _require(HUMAN not in tasks[:-1], "the human layer is not the last")
    for layer in header.layers:
        _require(valid_name(layer.task), f"{layer.task!r} is not a valid task name")
        _require(len(layer.choices) == len(header.latents), f"{layer.task}: a choice per latent")
        for choice in layer.choices:
            _check_choice(layer.task, choice)


def _check_choice(task: str, choice: Choice) -> None:
    _require(0 <= choice.level <= 255, f"{task}: level {choice.level} is above 255")
    derived = choice.mask is MaskKind.DERIVED
    _require(derived == (choice.predictor is not None), f"{task}: a predictor goes with its mask")
    _check_reference(choice.predictor)
    _check_reference(choice.adapter)
    if task == HUMAN:
        whole = choice.mask is MaskKind.FULL and choice.adapter is None and choice.level == 0
        _require(whole, f"{task}: its masks are full, without adapters, at level 0")
