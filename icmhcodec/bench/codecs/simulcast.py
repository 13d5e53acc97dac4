"""Simulcast: a stream for machines and a plain file for people, beside each other.

This is what a scalable file replaces, and it is counted in the same way: the machine's curve counts
what is sent to the machine, its stream alone, as a scalable file's task curve counts the split-off
layers; the human curve counts everything that is sent once somebody looks, both streams, as a
scalable file's human curve counts the whole file. Both lie in one file, the machine stream after
its length (two or three bytes, counted with the human curve).
"""

from __future__ import annotations

from icmhcodec.bench.contract import HUMAN, ComparedCodec, Decoded, Pixels
from icmhcodec.errors import FormatError, UsageError


class SimulcastCodec:
    """Two codecs whose points are paired from the smallest to the largest.

    A point is that of the human codec; where one codec has more points, those spread most evenly
    over its range are paired.
    """

    def __init__(self, name: str, machine: ComparedCodec, human: ComparedCodec) -> None:
        self.name = name
        self.profile = "simulcast"
        self.views = (*machine.views, HUMAN)
        count = min(len(machine.points), len(human.points))
        self.points = _spread(human.points, count)
        self._pairs = dict(zip(self.points, _spread(machine.points, count), strict=True))
        self._machine = machine
        self._human = human

    def identity(self) -> dict[str, str]:
        """Those of both codecs, and which points go together."""
        parts = {"machine": self._machine, "human": self._human}
        both = {f"{p} {k}": v for p, codec in parts.items() for k, v in codec.identity().items()}
        return both | {"pairs": " ".join(f"{m:g}+{h:g}" for h, m in self._pairs.items())}

    def encode(self, pixels: Pixels, point: float) -> bytes:
        """Both streams of a picture."""
        if point not in self._pairs:
            known = ", ".join(f"{p:g}" for p in self.points)
            raise UsageError(f"{self.name}: has no point {point:g}; it has {known}")
        machine = self._machine.encode(pixels, self._pairs[point])
        return _varint(len(machine)) + machine + self._human.encode(pixels, point)

    def cut(self, data: bytes, view: str) -> bytes:
        """The machine stream for a task; all of it for people."""
        return data if view == HUMAN else self._machine.cut(_parts(data)[0], view)

    def decode(self, data: bytes, view: str) -> Decoded:
        """The picture that the machine or the person gets."""
        if view == HUMAN:
            return self._human.decode(_parts(data)[1], HUMAN)
        return self._machine.decode(data, view)


def _spread(points: tuple[float, ...], count: int) -> tuple[float, ...]:
    """So many of the points, evenly from the first to the last."""
    steps = max(count - 1, 1)
    return tuple(points[round(k * (len(points) - 1) / steps)] for k in range(count))


def _varint(number: int) -> bytes:
    """Unsigned LEB128."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _parts(data: bytes) -> tuple[bytes, bytes]:
    """The machine stream and the human file."""
    size = place = 0
    for place, byte in enumerate(data[:5]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    start = place + 1
    if start + size > len(data):
        raise FormatError("simulcast: the file is cut short")
    return data[start : start + size], data[start + size :]
