"""Random mutations of files, and what must come of them.

A mutation changes bits, bytes or chunks, or makes a length, a count or a field of the header lie.
Sealed ones have all CRCs of chunks and the file id right. With `trusting`, the CRCs of symbols and
masks count as right too: then the decoder works on what the mutation made of them.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from enum import IntEnum
from functools import lru_cache
from unittest import mock

import numpy as np
import torch

from icmhcodec import container
from icmhcodec.container import MaskKind, Reference
from icmhcodec.container.chunks import PREAMBLE_BYTES
from icmhcodec.entropy import coder
from icmhcodec.errors import IcmhError
from icmhcodec.masks import partition
from icmhcodec.pipeline.codec import Codec
from icmhcodec.pipeline.decode import Decoded
from tests.attacks.forgery import (
    Piece,
    assembled,
    pieces,
    sealed,
    with_group,
    with_header,
    with_layer,
)
from tests.container.samples import varint
from tests.pipeline.conftest import BASE

SECONDS = 10  # longest that a file of a few kilobytes may take
NUMBERS = (0, 1, 2, 3, 127, 128, 255, 65535, 65536, 70000, 2**31, 2**32 - 1)


class Seal(IntEnum):
    """Which checksums of a mutated file are right."""

    NONE = 0
    CHUNKS = 1
    ALL = 2


def mutated(rng: np.random.Generator, data: bytes, seal: Seal) -> bytes:
    """A mutation of a valid file, or several at once."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        kind = KINDS[int(rng.integers(len(KINDS)))]
        with suppress(
            IndexError, ValueError, IcmhError
        ):  # an earlier one left nothing that this one needs
            data = kind(rng, data)
    return data if seal is Seal.NONE else sealed(data)


def flipped_bits(rng: np.random.Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def changed_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Bytes set, taken out or put in, at a random place or at the end."""
    at = int(rng.integers(len(data)))
    run = int(rng.integers(1, 5))
    new = bytes(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))], run).tolist())
    variants = (
        data[:at] + new + data[at + run :],
        data[:at] + data[at + run :],
        data[:at] + new + data[at:],
        data[:at],
        data + new,
        data[:at] + data[int(rng.integers(at, len(data))) :],
    )
    return variants[int(rng.integers(len(variants)))]


def moved_chunks(rng: np.random.Generator, data: bytes) -> bytes:
    """Chunks swapped, doubled or dropped, the header among them now and then."""
    parts = pieces(data, as_they_are=True)
    first = int(rng.integers(5) != 0)
    a, b = (int(n) for n in rng.integers(first, len(parts), 2))
    kind = rng.integers(4)
    if kind == 0:
        parts[a], parts[b] = parts[b], parts[a]
    elif kind == 1:
        parts.insert(a, parts[b])
    elif kind == 2:
        del parts[a]
    else:
        parts = [*parts[: min(a, b)], *parts[max(a, b) :]]
    return _joined(data, parts)


def disguised_chunks(rng: np.random.Generator, data: bytes) -> bytes:
    """A chunk with the payload, the place or the type of another, or with a type of its own."""
    parts = pieces(data, as_they_are=True)
    a, b = (int(n) for n in rng.integers(len(parts), size=2))
    letters = bytes(rng.permutation(list(parts[a].type)).tolist())
    changes: list[dict[str, object]] = [
        {"payload": parts[b].payload}, {"place": parts[b].place}, {"type": parts[b].type},
        {"type": letters}, {"type": b"ICCp"}, {"type": b"prVt"}, {"type": b"xxXx"},
        {"place": int(rng.choice(NUMBERS))},
    ]  # fmt: skip
    parts[a] = replace(parts[a], **changes[int(rng.integers(len(changes)))])
    return _joined(data, parts)


def lying_lengths(rng: np.random.Generator, data: bytes) -> bytes:
    """The length of a chunk is another."""
    parts = pieces(data, as_they_are=True)
    a = int(rng.integers(len(parts)))
    near = len(parts[a].payload) + int(rng.integers(-9, 10))
    length = max(0, near) if rng.integers(2) else int(rng.choice(NUMBERS))
    parts[a] = replace(parts[a], length=length)
    return _joined(data, parts)


def lying_counts(rng: np.random.Generator, data: bytes) -> bytes:
    """A number near the beginning of a payload (index, count, length) is another."""
    parts = pieces(data, as_they_are=True)
    a = int(rng.integers(len(parts)))
    payload = parts[a].payload
    at = int(rng.integers(min(len(payload), 4 if a else len(payload))))
    number = varint(int(rng.choice(NUMBERS)))
    if rng.integers(4) == 0:  # not in its shortest form
        number = number[:-1] + bytes([number[-1] | 128, 0])
    parts[a] = replace(parts[a], payload=payload[:at] + number + payload[at + 1 :])
    return _joined(data, parts)


def changed_payload(rng: np.random.Generator, data: bytes) -> bytes:
    """Bits or bytes of one payload, its length kept right."""
    parts = pieces(data, as_they_are=True)
    a = int(rng.integers(len(parts)))
    change = flipped_bits if rng.integers(2) else changed_bytes
    parts[a] = replace(parts[a], payload=change(rng, parts[a].payload))
    return _joined(data, parts)


def lying_header(rng: np.random.Generator, data: bytes) -> bytes:
    """One field of the header is another; its CRC stays what it was."""
    first, *others = pieces(data, as_they_are=True)
    lie = pieces(_lies(rng, data))[0]
    return _joined(data, [replace(first, payload=lie.payload), *others])


KINDS: tuple[Callable[[np.random.Generator, bytes], bytes], ...] = (
    flipped_bits,
    changed_bytes,
    moved_chunks,
    disguised_chunks,
    lying_lengths,
    lying_counts,
    changed_payload,
    changed_payload,
    lying_header,
    lying_header,
)


def _joined(data: bytes, parts: list[Piece]) -> bytes:
    return data[:PREAMBLE_BYTES] + assembled(parts, identity=False)[PREAMBLE_BYTES:]


def _lies(rng: np.random.Generator, data: bytes) -> bytes:
    header = container.parse(data).header
    a, b = (int(rng.integers(len(part))) for part in (header.layers, header.groups))
    number = int(rng.choice(NUMBERS))
    small = int(rng.choice([0, 1, 3, 4, 5, 64, 65, 200, 255]))
    other = header.layers[a - 1]
    kind = MaskKind(int(rng.integers(4)))
    layer: list[dict[str, object]] = [
        {"symbols": number}, {"symbols": other.symbols}, {"symbols_crc": number},
        {"mask_crc": number}, {"mask": kind}, {"mask": kind, "mask_crc": 0, "predictor": None},
        {"mask": MaskKind.EMPTY, "mask_crc": 0, "predictor": None, "symbols": 0, "symbols_crc": 0},
        {"level": small}, {"task": other.task}, {"task": "x"}, {"group": small},
        {"predictor": other.adapter}, {"adapter": other.predictor},
        {"predictor": Reference("det-7", bytes(8))}, {"adapter": Reference("det-7", bytes(8))},
    ]  # fmt: skip
    group: list[dict[str, object]] = [
        {"quality": int(rng.integers(65536))}, {"quality": int(rng.integers(2305))},
        {"skip": small}, {"hyper_crc": number}, {"codec": Reference(BASE, bytes(8))},
        {"codec": Reference("mbt2018-mean-q3", bytes(8))},
    ]  # fmt: skip
    picture: list[dict[str, object]] = [
        {"width": number}, {"height": number}, {"width": 64 * small + 1}, {"height": small + 1},
        {"width": header.width ^ 1}, {"height": header.height ^ 1},
        {"channels": small}, {"depth": small}, {"tiles": (1, small)}, {"ancillary": small},
        {"groups": header.groups * 2}, {"layers": header.layers * 2},
        {"layers": header.layers[::-1]}, {"layers": header.layers[1:]},
    ]  # fmt: skip
    which = rng.integers(3)
    with suppress(KeyError):  # what cannot even be written
        if which == 0:
            return with_layer(data, a, **layer[int(rng.integers(len(layer)))])
        if which == 1:
            return with_group(data, b, **group[int(rng.integers(len(group)))])
        return with_header(data, replace(header, **picture[int(rng.integers(len(picture)))]))
    return data


class _Right:
    """Equal to every checksum."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


@contextmanager
def trusting() -> Iterator[None]:
    """Decode as if the CRCs of symbols and masks were right."""
    with (
        mock.patch.object(coder, "hyper_crc", return_value=_Right()),
        mock.patch.object(coder, "symbols_crc", return_value=_Right()),
        mock.patch.object(partition, "mask_crc", return_value=_Right()),
    ):
        yield


class HangError(BaseException):
    """A call took longer than it may; no IcmhError, and nothing catches it."""


@contextmanager
def within(seconds: int = SECONDS) -> Iterator[None]:
    """Raise HangError in what takes longer."""

    def stop(*_: object) -> None:
        raise HangError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    begin = time.monotonic()
    try:
        yield
        if time.monotonic() - begin > seconds:  # no signal reaches a loop in an extension
            raise HangError(f"more than {seconds} s")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(call: Callable[[], object]) -> str:
    """What a call came to: "done" or the name of its error; anything but IcmhError is let out."""
    with within():
        try:
            call()
        except IcmhError as error:
            lines, result = str(error).splitlines(), type(error).__name__
        else:
            return "done"
    assert len(lines) == 1, f"an error of {len(lines)} lines: {lines}"
    return result


def to_symbols(codec: Codec, original: bytes, data: bytes, seal: Seal) -> str:
    """Decode a mutated file to its symbols: an error, or, unless it is sealed, the right ones."""

    def decode() -> None:
        with checks(seal):
            found = codec.symbols(data)
        if seal is Seal.NONE:
            right = _right(codec, original)
            for name, symbols in found.items():
                assert torch.equal(symbols, right[name]), f"{name}: wrong symbols, no error"

    return outcome(decode)


def to_pixels(codec: Codec, original: bytes, data: bytes, seal: Seal) -> str:
    """Decode what is intact of a mutated file to pixels, and all of it if it is whole.

    Unless the file is sealed, what comes out is what the intact chunks of the original give.
    """

    def decode(partial: bool) -> None:
        with checks(seal):
            found = codec.decode(data, partial=partial)
        if seal is Seal.NONE:
            places = {info.place for info in container.inspect(data, partial=True)}
            right = codec.decode(_only(original, places), partial=True)
            assert _same(found, right), "a wrong picture, no error"

    outcome(lambda: decode(partial=False))
    return outcome(lambda: decode(partial=True))


def checks(seal: Seal) -> AbstractContextManager[None]:
    """What a mutated file is decoded in: with all its checks, or trusting."""
    return trusting() if seal is Seal.ALL else nullcontext()


@lru_cache(maxsize=16)
def _right(codec: Codec, original: bytes) -> dict[str, torch.Tensor]:
    return codec.symbols(original)


def _only(data: bytes, places: set[int]) -> bytes:
    """A file's chunks at some places."""
    return _joined(data, [part for part in pieces(data, as_they_are=True) if part.place in places])


def _same(a: Decoded, b: Decoded) -> bool:
    fields = ("icc", "exif", "xmp")
    alphas = a.picture.alpha, b.picture.alpha
    return (
        a.layer == b.layer
        and np.array_equal(a.picture.pixels, b.picture.pixels)
        and (alphas[0] is None) == (alphas[1] is None)
        and (alphas[0] is None or np.array_equal(*alphas))
        and all(getattr(a.picture, name) == getattr(b.picture, name) for name in fields)
    )


def cases(
    files: dict[str, bytes], seed: int, first: int, count: int
) -> Iterator[tuple[int, str, bytes, Seal]]:
    """Numbered mutations: number, name of the file, bytes, seal; half of them are sealed.

    Each has a generator of its own, so that one can be made again alone.
    """
    names = itertools.cycle(files)
    for _ in range(first % len(files)):
        next(names)
    for number, name in zip(range(first, first + count), names, strict=False):
        rng = np.random.default_rng([seed, number])
        seal = (Seal.NONE, Seal.CHUNKS, Seal.NONE, Seal.ALL)[number // len(files) % 4]
        yield number, name, mutated(rng, files[name], seal), seal
