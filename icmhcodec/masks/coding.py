"""Explicit masks: entropy coded per element, or per position for all channels.

The first byte says which. Both codings use only integers that the decoder has as well.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from icmhcodec.entropy import coder
from icmhcodec.entropy.coder import Tables
from icmhcodec.errors import FormatError

ELEMENTS, POSITIONS = 0, 1
SCALES = 64
# Frequencies of "selected", of 2^16, that a context can have; part of the format.
_RARE = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 12288, 16384, 20480, 24576, 28672)
FREQUENCIES = (*_RARE, 32768, *(65535 - f for f in reversed(_RARE)))
_LENGTH_BYTES = 4


@lru_cache(maxsize=1)
def _tables() -> Tables:
    """Binary tables: not selected, selected, and the coder's escape of frequency 1."""
    cdfs = np.array([[0, 65535 - f, 65535, 65536] for f in FREQUENCIES], dtype=np.int32)
    lengths = np.full(len(FREQUENCIES), cdfs.shape[1], dtype=np.int32)
    return Tables(cdfs, lengths, np.zeros(len(FREQUENCIES), dtype=np.int32))


def encode_elements(mask: Tensor, free: Tensor, index: Tensor) -> bytes:
    """Code mask [M,h,w] over the free elements, with an adaptive table for each scale index."""
    bits = mask[free].cpu().numpy().astype(np.int32)
    contexts = index[free].cpu().numpy().astype(np.int64)
    total = np.bincount(contexts, minlength=SCALES)
    selected = np.bincount(contexts, weights=bits, minlength=SCALES)
    wanted = np.where(total > 0, selected * 65536 / np.maximum(total, 1), 0)
    choice = np.abs(np.array(FREQUENCIES)[:, None] - wanted[None]).argmin(0).astype(np.uint8)
    segments = coder.encode_segments(bits, choice[contexts], _tables())
    parts = [bytes([ELEMENTS]), choice[total > 0].tobytes()]
    for segment in segments:
        parts += [len(segment).to_bytes(_LENGTH_BYTES, "little"), segment]
    return b"".join(parts)


def encode_positions(mask: Tensor) -> bytes:
    """Code mask [h,w], the same for all channels: rows as differences from the row above."""
    rows = mask.cpu().numpy().astype(bool)
    rows[1:] ^= rows[:-1].copy()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = np.packbits(rows.reshape(-1)).tobytes()
    return bytes([POSITIONS]) + packer.compress(packed) + packer.flush()


def decode(data: bytes, free: Tensor, index: Tensor) -> Tensor:
    """The layer's mask [M,h,w] within the free elements; FormatError where the bytes are wrong."""
    if not data or data[0] not in (ELEMENTS, POSITIONS):
        raise FormatError("explicit mask: it is of an unknown kind; damaged")
    if data[0] == POSITIONS:
        return free & _decode_positions(data[1:], *free.shape[1:]).to(free.device)
    return _decode_elements(data[1:], free, index)


def _decode_positions(data: bytes, height: int, width: int) -> Tensor:
    size = -(-height * width // 8)
    unpacker = zlib.decompressobj(-15)
    try:
        packed = unpacker.decompress(data, size + 1)
    except zlib.error as error:
        raise FormatError(f"explicit mask: {error}; damaged") from error
    if len(packed) != size or not unpacker.eof or unpacker.unused_data:
        raise FormatError("explicit mask: it does not cover the latent; damaged")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=height * width)
    rows = np.bitwise_xor.accumulate(bits.reshape(height, width), axis=0)
    return torch.from_numpy(rows.astype(bool))


def _decode_elements(data: bytes, free: Tensor, index: Tensor) -> Tensor:
    contexts = index[free].cpu().numpy().astype(np.int64)
    used = np.flatnonzero(np.bincount(contexts, minlength=SCALES))
    choice = np.zeros(SCALES, dtype=np.uint8)
    if len(data) < len(used):
        raise FormatError("explicit mask: it ends early; damaged")
    choice[used] = np.frombuffer(data[: len(used)], np.uint8)
    if choice.max(initial=0) >= len(FREQUENCIES):
        raise FormatError("explicit mask: it names a table that does not exist; damaged")
    segments = _split_segments(data[len(used) :], -(-len(contexts) // coder.SEGMENT))
    bits = coder.decode_segments(segments, choice[contexts], _tables())
    if ((bits != 0) & (bits != 1)).any():
        raise FormatError("explicit mask: an element is neither selected nor not; damaged")
    mask = torch.zeros_like(free)
    mask[free] = torch.from_numpy(bits.astype(bool)).to(free.device)
    return mask


def _split_segments(data: bytes, count: int) -> list[bytes]:
    segments = []
    end = 0
    for _ in range(count):
        start = end + _LENGTH_BYTES
        end = start + int.from_bytes(data[end:start], "little")
        segments.append(data[start:end])
    if end != len(data):
        raise FormatError("explicit mask: its segments do not end where it does; damaged")
    return segments
