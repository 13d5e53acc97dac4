"""The structures of an .icm file, declared with construct (formats/icm.md)."""

from __future__ import annotations

from typing import Any, NoReturn

import construct as c

from icmhcodec.container.names import BUNDLES, CODECS, TASKS, valid_name
from icmhcodec.errors import FormatError

SIGNATURE = b"\x89ICM\r\n\x1a\n"
VERSION = (1, 0)
NUMBER_END = 1 << 32
NUMBER_BYTES = 5  # longest number
TILE_BYTES = 2 * NUMBER_BYTES + 4  # longest entry of the tile table
CHUNK_HEAD_BYTES = 4 + 2 * NUMBER_BYTES  # longest type, place and length


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


def _name(table: tuple[str, ...], what: str) -> Any:
    """A name as a code of the table, or spelled out where it has none."""

    def decode(wire: Any, _: Any) -> str:
        code: int = wire.code
        if code >= len(table):
            raise UnknownFeatureError(f"header: {what} code {code} is not known")
        if code:
            return table[code]
        name = bytes(wire.text).decode("latin-1")
        if not valid_name(name):
            raise FormatError(f"header: {name!r} is not a valid {what} name")
        if name in table:
            raise FormatError(f"header: {what} {name!r} is spelled out, but it has a code")
        return name

    def encode(name: str, _: Any) -> dict[str, Any]:
        if not valid_name(name):
            raise FormatError(f"header: {name!r} is not a valid {what} name")
        return {"code": table.index(name) if name in table else 0, "text": name.encode()}

    text = c.Prefixed(c.Byte, c.GreedyBytes)
    return c.ExprAdapter(
        c.Struct("code" / c.Byte, "text" / c.If(c.this.code == 0, text)), decode, encode
    )


def _reference(table: tuple[str, ...], what: str) -> Any:
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
