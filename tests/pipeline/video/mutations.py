"""Random mutations of a coded clip, and what must come of them.

A mutated clip gives intact frames in their order up to a typed error, or all of them; what is
missing is said. With `partial` it gives intact frames, each at its time. Sealed mutations have the
CRC of their chunk right, so that only what was coded in it tells.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from icmhcodec.imageio.clip import ClipFrame
from icmhcodec.pipeline.networks import Networks
from tests.pipeline.video import samples
from tests.pipeline.video.samples import Taken, borders, same, taken


@dataclass(frozen=True)
class Good:
    """A coded clip and its frames."""

    networks: Networks
    data: bytes
    frames: list[ClipFrame]


def good() -> Good:
    """The sample; its codec and bundles are the user's."""
    networks = Networks("cpu", "float32")
    data = samples.coded(networks)
    return Good(networks, data, samples.decoded(networks, data)[0])


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """A mutation, or several at once."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        data = KINDS[int(rng.integers(len(KINDS)))](rng, data)
    return data


def _bit(rng: np.random.Generator, data: bytes) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]


def _bytes(rng: np.random.Generator, data: bytes) -> bytes:
    start, stop = _span(rng, data, 8)
    return data[:start] + rng.bytes(stop - start) + data[stop:]


def _zeros(rng: np.random.Generator, data: bytes) -> bytes:
    start, stop = _span(rng, data, 64)
    return data[:start] + bytes(stop - start) + data[stop:]


def _dropped(rng: np.random.Generator, data: bytes) -> bytes:
    start, stop = _span(rng, data, 32)
    return data[:start] + data[stop:]


def _repeated(rng: np.random.Generator, data: bytes) -> bytes:
    start, stop = _span(rng, data, 400)
    return data[:stop] + data[start:]


def _cut(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(1, len(data)))]


def _span(rng: np.random.Generator, data: bytes, most: int) -> tuple[int, int]:
    start = int(rng.integers(len(data)))
    return start, min(len(data), start + int(rng.integers(1, most + 1)))


KINDS: list[Callable[[np.random.Generator, bytes], bytes]] = [
    _bit, _bit, _bytes, _bytes, _zeros, _dropped, _repeated, _cut,
]  # fmt: skip


def without_chunks(rng: np.random.Generator, data: bytes) -> bytes:
    """Without a chunk, or several in a row, or with them twice."""
    places = borders(data)
    first = int(rng.integers(len(places) - 1))
    last = min(len(places) - 1, first + int(rng.choice([1, 1, 1, 2, 3, 6])))
    start, stop = places[first], places[last]
    return data[:stop] + data[start:] if rng.integers(4) == 0 else data[:start] + data[stop:]


def sealed(rng: np.random.Generator, data: bytes) -> tuple[str, bytes]:
    """A bit of a chunk's payload, place or length changed and its CRC right; type of the chunk."""
    places = borders(data)
    number = int(rng.integers(len(places) - 1))
    start, end = places[number], places[number + 1]
    body = bytearray(data[start : end - 4])
    body[int(rng.integers(8, len(body)))] ^= 1 << int(rng.integers(8))
    crc = zlib.crc32(body).to_bytes(4, "little")
    return data[start : start + 4].decode(), data[:start] + bytes(body) + crc + data[end:]


def judge(good: Good, broken: bytes) -> str:
    """What came of a mutated clip; AssertionError where that is wrong."""
    found = taken(good.networks, broken, partial=False)
    assert same(found.frames, good.frames[: len(found.frames)]), "frames that are not the clip's"
    whole = len(found.frames) == len(good.frames)
    assert found.error or whole or found.warnings, "frames are missing, and nothing is said"
    salvaged = taken(good.networks, broken, partial=True)
    known = {frame.time: frame.pixels for frame in good.frames}
    intact = (np.array_equal(f.pixels, known.get(f.time, 0)) for f in salvaged.frames)
    assert all(intact), "salvaged frames that are not the clip's"
    assert len(salvaged.frames) >= len(found.frames), "less was salvaged than was decoded"
    return _outcome(found, whole)


def judge_sealed(good: Good, type_: str, broken: bytes) -> str:
    """Likewise where checksums of chunks are right."""
    found = taken(good.networks, broken, partial=False)
    whole = same(found.frames, good.frames)
    # An index says when the last frame ends, and no checksum is of that.
    assert found.error or (type_ == "INDX" and whole), "it was not noticed"
    return _outcome(found, whole)


def _outcome(found: Taken, whole: bool) -> str:
    if found.error:
        return type(found.error).__name__
    return "all frames" if whole else "fewer frames, and a warning"
