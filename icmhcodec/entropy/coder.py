"""The guarded range coder: the only module that touches CompressAI's rANS extension.

The extension trusts its input completely. What it reads and writes, from `rans_interface.cpp` and
`rans64.h` (64-bit state, 32-bit words, tables of precision 16, bypass digits of 4 bits):

Decoder. Two words make the first state. Let the state be in [2^31, 2^63): a symbol of any
frequency leaves at least 2^15 of it and a digit at least 2^27, so that one refill
(`x << 32 | word`) brings it back into that range. Hence a symbol reads at most one word, and a run
of d digits, which once refilled is refilled at every eighth digit, at most floor((d - 1) / 8) + 1.
An escape reads c count digits, of which all but the last are 15, then n <= 15 (c - 1) + 14 digits:
at most 16 c - 1 digits, 2 c words. The run of 15s takes at most 8 digits from the state that it
finds (2^63 >> 32 = 2^31 forces a refill), then 8 from each word; in the zero words that follow
the stream it ends at once. So c <= 9 + 8 w, where w words of the stream lie within this run.
Summed over n symbols and a stream of 2 + W words: at most n + 2 (9 n + 8 W) = 19 n + 16 W words
after the first two. Streams are padded to that with zero words; with W <= 1.5 n a segment of 2^16
symbols stays under 12 MB.

Encoder. Its buffer has one word per symbol or digit; the state grows by at most 16 bits with each
of n symbols, so they write at most n / 2 words, and flushing two: from three symbols on they fit.
Its loop over the digits of an escape ends for values below 2^28 only (a shift by 32 is none), and a
frequency of 2^16 overflows to 0, a division by zero: a table has a value beside the escape.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icmhcodec.errors import FormatError, IcmhError, UsageError

SEGMENT = 2**16  # most symbols in one stream
LATENT_LIMIT = 2**15  # symbols of the latent lie in [-2^15, 2^15]
HYPER_LIMIT = 2**11  # symbols of the hyper-latent lie in [-2^11, 2^11]
PRECISION = 16
MOST_ENTRIES = 512  # values of one table, the escape aside: the decoder's search is linear
FEWEST = 3  # symbols of a stream: the encoder's buffer is too short for fewer
_loading = threading.Lock()

Integers = npt.NDArray[Any]


class Tables:
    """Cumulative frequency tables: cdfs int32 [T, W], lengths int32 [T], offsets int32 [T].

    Table t codes the values offsets[t] to offsets[t] + lengths[t] - 3; its last frequency is the
    escape. Raises FormatError where a table would not be safe to code with.
    """

    def __init__(self, cdfs: Integers, lengths: Integers, offsets: Integers) -> None:
        """Check the tables once; entries of a row beyond its length are ignored."""
        self.cdfs, self.lengths, self.offsets = (
            np.array(part, dtype=np.int32) for part in (cdfs, lengths, offsets)
        )
        _check_tables(self.cdfs, self.lengths, self.offsets)
        rows = [row[:length] for row, length in zip(self.cdfs, self.lengths, strict=True)]
        likeliest = [int(np.argmax(np.diff(row)[:-1])) for row in rows]
        self.likeliest = self.offsets + np.array(likeliest, dtype=np.int32)
        # The extension takes lists of lists; they are made once.
        self.lists = ([row.tolist() for row in rows], self.lengths.tolist(), self.offsets.tolist())

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(self.lengths)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str = "") -> Tables:
        """Read the tables that `to_tensors` wrote under a prefix."""
        names = [f"{prefix}{name}" for name in ("cdfs", "lengths", "offsets")]
        missing = [name for name in names if name not in tensors]
        if missing:
            raise FormatError(f"weights: no tensor {missing[0]}; the file is not an exported codec")
        if any(tensors[name].dtype != torch.int32 for name in names):
            raise FormatError(f"weights: {prefix}cdfs, lengths and offsets must be int32")
        return cls(*(tensors[name].cpu().numpy() for name in names))

    def to_tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Return the tables as int32 tensors under a prefix, for safetensors."""
        return {
            f"{prefix}cdfs": torch.from_numpy(self.cdfs.copy()),
            f"{prefix}lengths": torch.from_numpy(self.lengths.copy()),
            f"{prefix}offsets": torch.from_numpy(self.offsets.copy()),
        }


def _check_tables(cdfs: Integers, lengths: Integers, offsets: Integers) -> None:
    rows = cdfs.shape[:1]
    if cdfs.ndim != 2 or not len(cdfs) or lengths.shape != rows or offsets.shape != rows:
        raise FormatError("tables: cdfs, lengths and offsets do not fit together")
    if lengths.min() < 3 or lengths.max() > min(cdfs.shape[1], MOST_ENTRIES + 2):
        raise FormatError(f"tables: a table has 1 to {MOST_ENTRIES} values and the escape")
    if offsets.min() < -LATENT_LIMIT or offsets.max() > LATENT_LIMIT:
        raise FormatError(f"tables: an offset lies outside of +-{LATENT_LIMIT}")
    used = np.arange(cdfs.shape[1] - 1) < (lengths - 1)[:, None]
    # int64: the difference of two hostile int32 entries may wrap to a positive one
    rising = np.diff(cdfs.astype(np.int64), axis=1) > 0
    last = cdfs[np.arange(len(cdfs)), lengths - 1]
    if (cdfs[:, 0] != 0).any() or not rising[used].all() or (last != 1 << PRECISION).any():
        raise FormatError(f"tables: a table does not rise strictly from 0 to 2^{PRECISION}")


@cache
def _extension() -> Any:
    """CompressAI's module of coders; threads that come at once get the same."""
    with _loading:
        return _load_extension()


def _load_extension() -> Any:
    """Load `compressai.ans` from its file: importing the package itself takes seconds."""
    if sys.byteorder != "little":
        raise IcmhError("range coder: CompressAI's streams are defined on little-endian machines")
    if "compressai.ans" in sys.modules:
        return sys.modules["compressai.ans"]
    package = importlib.util.find_spec("compressai")
    folders = package.submodule_search_locations if package else None
    for path in (Path(f) / f"ans{suffix}" for f in folders or () for suffix in EXTENSION_SUFFIXES):
        spec = importlib.util.spec_from_file_location("compressai.ans", path)
        if path.is_file() and spec and spec.loader:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            # Its classes can be registered once in a process: a later `import compressai` finds it.
            sys.modules["compressai.ans"] = module
            return module
    raise IcmhError("range coder: compressai's ans extension is not here; reinstall compressai")


def _checked_indexes(indexes: Integers, tables: Tables) -> Integers:
    indexes = np.asarray(indexes)
    if indexes.ndim != 1 or indexes.dtype.kind not in "iu":
        raise UsageError("range coder: indexes are one row of integers")
    if len(indexes) and (indexes.min() < 0 or indexes.max() >= len(tables)):
        raise UsageError(f"range coder: an index lies outside of 0 to {len(tables) - 1}")
    return indexes


def _check_segment(count: int) -> None:
    if count > SEGMENT:
        raise UsageError(f"range coder: {count} symbols in a segment, {SEGMENT} at most")


def encode(
    symbols: Integers, indexes: Integers, tables: Tables, limit: int = LATENT_LIMIT
) -> bytes:
    """Code one segment: symbols integer [n] within +-limit, indexes integer [n], n <= 2^16.

    Fewer than three symbols are followed by the likeliest value of the last one's table.
    Raises UsageError for what cannot be coded. No symbols give no bytes.
    """
    symbols, indexes = np.asarray(symbols), _checked_indexes(indexes, tables)
    if symbols.shape != indexes.shape or symbols.dtype.kind not in "iu":
        raise UsageError("range coder: symbols are integers, as many as indexes")
    if not 0 < limit <= LATENT_LIMIT:
        raise UsageError(f"range coder: the limit lies in 1 to {LATENT_LIMIT}")
    _check_segment(len(symbols))
    if not len(symbols):
        return b""
    if symbols.min() < -limit or symbols.max() > limit:
        raise UsageError(f"range coder: a symbol lies outside of +-{limit}; clamp the latent")
    filler = [int(tables.likeliest[indexes[-1]])] * (FEWEST - len(symbols))
    rows = _padded_indexes(indexes)
    stream = (
        _extension()
        .RansEncoder()
        .encode_with_indexes(symbols.tolist() + filler, rows, *tables.lists)
    )
    return bytes(stream)


def _padded_indexes(indexes: Integers) -> list[int]:
    rows: list[int] = indexes.tolist()
    return rows + rows[-1:] * (FEWEST - len(rows))


def padded(stream: bytes, count: int) -> bytes:
    """Check the stream of count symbols and lengthen it so that nothing reads past its end.

    Raises FormatError for lengths and first states that no encoder writes.
    """
    count = max(count, FEWEST)
    if len(stream) % 4 or not 8 <= len(stream) <= 6 * count + 8:
        raise FormatError(f"segment: {len(stream)} bytes cannot hold {count} symbols")
    if not 2**31 <= int.from_bytes(stream[:8], "little") < 2**63:
        raise FormatError("segment: its first state is out of range")
    words = len(stream) // 4 - 2
    return stream.ljust(4 * (2 + 19 * count + 16 * words), b"\0")


def decode(
    stream: bytes, indexes: Integers, tables: Tables, limit: int = LATENT_LIMIT
) -> npt.NDArray[np.int32]:
    """Decode one segment into int32 [n], n = len(indexes) <= 2^16.

    Raises FormatError where the stream cannot be one or a symbol lies outside of +-limit. A damaged
    stream may also decode to wrong symbols within the limit: compare `symbols_crc`.
    """
    indexes = _checked_indexes(indexes, tables)
    _check_segment(len(indexes))
    if not len(indexes):
        if stream:
            raise FormatError(f"segment: {len(stream)} bytes for no symbols")
        return np.zeros(0, np.int32)
    stream = padded(stream, len(indexes))
    rows = _padded_indexes(indexes)
    values = _extension().RansDecoder().decode_with_indexes(stream, rows, *tables.lists)
    symbols = np.array(values, dtype=np.int32)[: len(indexes)]
    if symbols.min() < -limit or symbols.max() > limit:
        raise FormatError(f"segment: a symbol lies outside of +-{limit}; the stream is damaged")
    return symbols


def encode_segments(
    symbols: Integers, indexes: Integers, tables: Tables, limit: int = LATENT_LIMIT
) -> tuple[bytes, ...]:
    """Code any number of symbols in segments of 2^16; the last one holds the rest."""
    if np.shape(symbols) != np.shape(indexes):
        raise UsageError("range coder: symbols are integers, as many as indexes")
    cuts = [slice(start, start + SEGMENT) for start in range(0, len(symbols), SEGMENT)]
    return tuple(encode(symbols[cut], indexes[cut], tables, limit) for cut in cuts)


def decode_segments(
    segments: Sequence[bytes], indexes: Integers, tables: Tables, limit: int = LATENT_LIMIT
) -> npt.NDArray[np.int32]:
    """Decode the segments of one layer or hyper-latent into int32 [len(indexes)]."""
    cuts = [slice(start, start + SEGMENT) for start in range(0, len(indexes), SEGMENT)]
    if len(segments) != len(cuts):
        raise FormatError(f"layer: {len(segments)} segments where there must be {len(cuts)}")
    parts = [
        decode(part, indexes[cut], tables, limit) for part, cut in zip(segments, cuts, strict=True)
    ]
    return np.concatenate([np.zeros(0, np.int32), *parts])


def symbols_crc(symbols: Integers, crc: int = 0) -> int:
    """CRC-32 of symbols as little-endian int32, in element order, after what `crc` is of."""
    return zlib.crc32(np.ascontiguousarray(symbols, dtype="<i4").tobytes(), crc)


def hyper_crc(symbols: Integers) -> int:
    """CRC-32 of hyper-latent symbols as little-endian int16, in element order."""
    return zlib.crc32(np.ascontiguousarray(symbols, dtype="<i2").tobytes())
