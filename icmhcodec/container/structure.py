"""The structures of an .icm file, declared with construct (formats/icm.md)."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any, NoReturn

import construct as c

from icmhcodec.container.names import (
    BUNDLES,
    CODECS,
    STABLE,
    TASKS,
    Table,
    names_by_code,
    valid_name,
)
from icmhcodec.errors import FormatError

SIGNATURE = b"\x89ICM\r\n\x1a\n"
VERSION = STABLE  # of pictures without a name that a later version gave a code
SEQUENCE_VERSION = (1, 1)  # of sequences, and the newest that is known
NUMBER_END = 1 << 32
NUMBER_BYTES = 5  # longest number
LONG_END = 1 << 63
TILE_BYTES = 2 * NUMBER_BYTES + 4  # longest entry of the tile table
CHUNK_HEAD_BYTES = 4 + 2 * NUMBER_BYTES  # longest type, place and length

_TEXT = re.compile("[ -~]{1,64}")


class UnknownFeatureError(FormatError):
    """Something that this version of the format does not define; a newer one may."""


def _in_range(value: int) -> int:
    if not 0 <= value < NUMBER_END:
        raise c.ValidationError("a number that is not in 0 to 2^32 - 1")
    return value


def _shortest(raw: Any, _: Any) -> int:
    value = _in_range(raw.value)
    if len(raw.data) > 1 and raw.data[-1] == 0:
        raise c.ValidationError("a number that is not in its shortest form")
    return value


Number = c.ExprAdapter(c.RawCopy(c.VarInt), _shortest, lambda value, _: {"value": _in_range(value)})


def _shortest_long(raw: Any, _: Any) -> int:
    if not 0 <= raw.value < LONG_END or (len(raw.data) > 1 and raw.data[-1] == 0):
        raise c.ValidationError("a long number that is not below 2^63 or not in its shortest form")
    value: int = raw.value
    return value


def _long_in_range(value: int) -> dict[str, int]:
    if not 0 <= value < LONG_END:
        raise c.ValidationError("a long number that is not in 0 to 2^63 - 1")
    return {"value": value}


def _from_zigzag(value: int, _: Any) -> int:
    return value >> 1 ^ -(value & 1)


def _to_zigzag(value: int, _: Any) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


Long = c.ExprAdapter(c.RawCopy(c.VarInt), _shortest_long, lambda value, _: _long_in_range(value))
Signed = c.ExprAdapter(Long, _from_zigzag, _to_zigzag)


def _fraction(pair: Any, _: Any) -> Fraction:
    numerator, denominator = pair
    if not denominator or math.gcd(numerator, denominator) != 1:
        raise c.ValidationError("a ratio that is not in lowest terms")
    return Fraction(numerator, denominator)


Ratio = c.ExprAdapter(c.Array(2, Number), _fraction, lambda value, _: value.as_integer_ratio())


def _text(wire: Any, _: Any) -> str:
    text = bytes(wire).decode("latin-1")
    if not _TEXT.fullmatch(text):
        raise c.ValidationError("a text that is not 1 to 64 printable ASCII characters")
    return text


def _text_bytes(text: str, _: Any) -> bytes:
    if not _TEXT.fullmatch(text):
        raise c.ValidationError(f"{text!r} is not 1 to 64 printable ASCII characters")
    return text.encode()


Text = c.ExprAdapter(c.Prefixed(c.Byte, c.GreedyBytes), _text, _text_bytes)


def _name(table: Table, what: str) -> Any:
    """A name as its code in a file of the version given, or spelled out where it has none."""

    def decode(wire: Any, context: Any) -> str:
        names = names_by_code(table, context._params.version)
        code: int = wire.code
        if code >= len(names):
            raise UnknownFeatureError(f"header: {what} code {code} is not known")
        if code:
            return names[code]
        name = bytes(wire.text).decode("latin-1")
        if not valid_name(name):
            raise FormatError(f"header: {name!r} is not a valid {what} name")
        if name in names:
            raise FormatError(f"header: {what} {name!r} is spelled out, but it has a code")
        return name

    def encode(name: str, context: Any) -> dict[str, Any]:
        if not valid_name(name):
            raise FormatError(f"header: {name!r} is not a valid {what} name")
        names = names_by_code(table, context._params.version)
        return {"code": names.index(name) if name in names else 0, "text": name.encode()}

    text = c.Prefixed(c.Byte, c.GreedyBytes)
    return c.ExprAdapter(
        c.Struct("code" / c.Byte, "text" / c.If(c.this.code == 0, text)), decode, encode
    )


def _reference(table: Table, what: str) -> Any:
    return c.Struct("id" / _name(table, what), "fingerprint" / c.Bytes(8))


CHUNK = c.Struct("type" / c.Bytes(4), "place" / Number, "length" / Number, "size" / c.Tell)

GROUP = c.Struct(
    "codec" / _reference(CODECS, "codec"),
    "quality" / c.Int16ul,
    "skip" / c.Byte,
    "hyper_crc" / c.Int32ul,
)

FULL, EMPTY, DERIVED, EXPLICIT = range(4)

LAYER = c.Struct(
    "group" / Number,
    "task" / _name(TASKS, "task"),
    "level" / c.Byte,
    "flags"
    / c.BitStruct("reserved" / c.BitsInteger(5), "adapter" / c.Flag, "mask" / c.BitsInteger(2)),
    "mask_crc" / c.If(c.this.flags.mask >= DERIVED, c.Int32ul),
    "symbols" / Number,
    "symbols_crc" / c.Int32ul,
    "predictor" / c.If(c.this.flags.mask == DERIVED, _reference(BUNDLES, "bundle")),
    "adapter" / c.If(c.this.flags.adapter, _reference(BUNDLES, "bundle")),
)

HEADER = c.Struct(
    "file_id" / c.Bytes(8),
    "width" / Number,
    "height" / Number,
    "channels" / c.Byte,
    "depth" / c.Byte,
    "tiles" / c.Array(2, Number),
    "ancillary" / Number,
    "groups" / c.PrefixedArray(Number, GROUP),
    "layers" / c.PrefixedArray(Number, LAYER),
    c.Terminated,
)

# What stands before the lengths and segments of a payload; `mask` is a length in bytes.
# `tables` reads and writes TILE_START, TILES and LENGTHS by hand: they may be thousands.
HYPER_START = c.Struct("group" / Number, "segments" / Number, "size" / c.Tell)
LAYER_START = c.Struct("layer" / Number, "size" / c.Tell)
TILE_START = c.Struct("mask" / c.If(c.this._params.explicit, Number), "size" / c.Tell)
TILES = c.Struct(
    "tiles"
    / c.Array(
        c.this._params.count, c.Struct("symbols" / Number, "length" / Number, "crc" / c.Int32ul)
    ),
    "size" / c.Tell,
)
LENGTHS = c.Struct("lengths" / c.Array(c.this._params.count, Number), "size" / c.Tell)

# Sequences.
LATENT = c.Struct(
    "channels" / Number, "hyper_channels" / Number, "quality" / c.Int16ul, "skip" / c.Byte
)

CHOICE = c.Struct(
    "level" / c.Byte,
    "flags"
    / c.BitStruct("reserved" / c.BitsInteger(5), "adapter" / c.Flag, "mask" / c.BitsInteger(2)),
    "predictor" / c.If(c.this.flags.mask == DERIVED, _reference(BUNDLES, "bundle")),
    "adapter" / c.If(c.this.flags.adapter, _reference(BUNDLES, "bundle")),
)

SEQUENCE_LAYER = c.Struct(
    "task" / _name(TASKS, "task"),
    "choices" / c.Array(lambda this: len(this._._.latents), CHOICE),
)

AUDIO_STREAM = c.Struct(
    "codec" / Text,
    "rate" / Number,
    "layout" / Text,
    "time_base" / Ratio,
    "extradata" / c.Prefixed(Number, c.GreedyBytes),
)

SEQUENCE = c.Struct(
    "sequence_id" / c.Bytes(8),
    "width" / Number,
    "height" / Number,
    "channels" / c.Byte,
    "depth" / c.Byte,
    "turns" / c.Byte,
    "aspect" / Ratio,
    "primaries" / c.Byte,
    "transfer" / c.Byte,
    "matrix" / c.Byte,
    "range" / c.Byte,
    "time_base" / Ratio,
    "rate" / Ratio,
    "step" / Number,
    "gop" / Number,
    "audio" / c.PrefixedArray(Number, AUDIO_STREAM),
    "latents" / c.PrefixedArray(Number, LATENT),
    "intra" / _reference(CODECS, "codec"),
    "inter" / c.If(lambda this: len(this.latents) > 1, _reference(CODECS, "codec")),
    "layers" / c.PrefixedArray(Number, SEQUENCE_LAYER),
    c.Terminated,
)

FRAME_FLAGS = c.BitStruct("count" / c.BitsInteger(6), "qualities" / c.Flag, "timed" / c.Flag)
QUALITIES = c.If(c.this.flags.qualities, c.Array(c.this._params.latents, c.Int16ul))

# What stands before the hyper-latents of a frame, or before the data of a later layer.
INTRA_START = c.Struct(
    "flags" / FRAME_FLAGS,
    "frame" / Long,
    "time" / Signed,
    "qualities" / QUALITIES,
    "crc" / c.Int32ul,
    "size" / c.Tell,
)
INTER_START = c.Struct(
    "flags" / FRAME_FLAGS,
    "time" / c.If(c.this.flags.timed, Number),
    "qualities" / QUALITIES,
    "crc" / c.Int32ul,
    "size" / c.Tell,
)
LATER_START = c.Struct("layer" / Number, "crc" / c.Int32ul, "size" / c.Tell)

AUDIO_START = c.Struct("stream" / Number, "time" / Signed, "duration" / Number, "size" / c.Tell)

INDEX = c.Struct(
    "digest" / c.Bytes(8),
    "frames" / Long,
    "end" / Signed,
    "entries" / c.PrefixedArray(Number, c.Struct("frame" / Long, "time" / Signed, "offset" / Long)),
    "size" / c.Int32ul,
    c.Terminated,
)


def unpack(structure: Any, data: bytes, what: str, **parameters: Any) -> Any:
    """Parse bytes; FormatError, in one line, where they are not what the structure says."""
    try:
        return structure.parse(data, **parameters)
    except c.ConstructError as error:
        _refuse(what, error)


def pack(structure: Any, value: Any, what: str, **parameters: Any) -> bytes:
    """Bytes of a value; FormatError where the structure cannot hold it."""
    try:
        built: bytes = structure.build(value, **parameters)
        return built
    except c.ConstructError as error:
        _refuse(what, error)


def _refuse(what: str, error: Any) -> NoReturn:
    field = (error.path or "").rpartition(" -> ")[2].strip("()")
    where = f"{what}, {field}" if field not in ("", "parsing", "building") else what
    if isinstance(error, c.StreamError):
        reason = "the payload ends too early"
    elif isinstance(error, c.TerminatedError):
        reason = "bytes follow after its end"
    else:
        reason = str(error).splitlines()[-1]
    raise FormatError(f"{where}: {reason}") from None
