"""Hostile streams for the range coder, and tables on which they do the most harm."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from icmhcodec.entropy.coder import SEGMENT, Tables, encode

COUNT = 2000


def tables() -> Tables:
    """A plain table, one that is nearly all escape, one that nearly never is, one of 512 values."""
    rows = [
        [0, 30000, 60000, 65500, 65536],
        [0, 1, 65536],
        [0, 65535, 65536],
        [*range(513), 65536],
    ]
    cdfs = np.zeros((len(rows), 514), np.int32)
    for cdf, row in zip(cdfs, rows, strict=True):
        cdf[: len(row)] = row
    return Tables(cdfs, np.array([len(row) for row in rows]), np.array([-1, 0, 0, -256]))


def _words(rng: np.random.Generator, words: int) -> bytes:
    """Random words behind a first state that the guard lets pass."""
    first = int(rng.integers(2**31, 2**63)).to_bytes(8, "little")
    return first + rng.bytes(4 * words)


def _ones(words: int) -> bytes:
    return (2**63 - 1).to_bytes(8, "little") + b"\xff" * (4 * words)


def hostile(count: int = COUNT, seed: int = 0) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yield streams and the indexes to decode them with; some are for a whole segment."""
    rng = np.random.default_rng(seed)
    coded = tables()
    for i in range(count):
        n = int(rng.integers(1, 200)) if i % 199 else SEGMENT
        indexes = rng.integers(0, 4, n) if i % 3 else np.full(n, 1)
        most = 3 * max(n, 3) // 2
        kind = i % 8
        if kind == 0:  # as many ones as the guard lets pass
            stream = _ones(most)
        elif kind == 1:
            stream = _words(rng, int(rng.integers(0, most + 1)))
        elif kind == 2:  # low first state
            stream = int(rng.integers(0, 2**32)).to_bytes(8, "little") + rng.bytes(4 * n)
        elif kind == 3:  # of any length
            stream = rng.bytes(int(rng.integers(0, 8 * n)))
        elif kind == 4:  # bytes of ones with a few random ones between
            body = np.where(rng.random(4 * most) < 0.9, 255, rng.integers(0, 256, 4 * most))
            stream = _ones(0) + body.astype(np.uint8).tobytes()
        else:
            symbols = rng.integers(-300, 300, n)
            stream = encode(symbols, indexes, coded)
            if kind == 5:  # truncated
                stream = stream[: 4 * int(rng.integers(0, len(stream) // 4 + 1))]
            elif kind == 6:  # another number of symbols than were coded
                indexes = rng.integers(0, 4, min(SEGMENT, 2 * n + 3))
            else:  # a few bits flipped
                damaged = np.frombuffer(stream, np.uint8).copy()
                damaged[rng.integers(0, len(damaged), 3)] ^= 1 << int(rng.integers(0, 8))
                stream = damaged.tobytes()
        yield stream, indexes
