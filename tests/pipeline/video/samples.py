"""A small clip that is made while it is read, and what becomes of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from icmhcodec.container.video.chunks import ChunkStream
from icmhcodec.errors import IcmhError
from icmhcodec.imageio.clip import ClipAudio, ClipColour, ClipFrame, ClipInfo, ClipPacket
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.video.clip_decode import DecodedClip
from icmhcodec.pipeline.video.clip_encode import EncodedClip, encode_clip
from icmhcodec.pipeline.video.plan import Options
from tests.codecs.video.tiny import frames as moving
from tests.pipeline.conftest import BASE

WIDTH, HEIGHT, COUNT = 40, 24, 5
LAYERED = Options(tasks=("det",), gop=3, quality=8)
AUDIO = ClipAudio("aac", 48000, "mono", Fraction(1, 48000), b"\x11\x88")
INFO = ClipInfo(
    WIDTH,
    HEIGHT,
    Fraction(1, 90000),
    Fraction(30000, 1001),
    step=3003,
    aspect=Fraction(4, 3),
    colour=ClipColour(1, 13, 6, True),
    audio=(AUDIO,),
    tags={"title": "Street"},
)


class Made:
    """A clip that is made while it is read: two packets of sound before each frame."""

    def __init__(self, count: int = COUNT, info: ClipInfo = INFO) -> None:
        self.info, self.count, self.taken = info, count, 0

    def __iter__(self) -> Iterator[ClipFrame | ClipPacket]:
        levels = (moving(self.count, HEIGHT, WIDTH) * 255).byte().permute(0, 2, 3, 1).numpy()
        for number in range(self.count):
            self.taken += 1
            for part in range(2):
                time = 1600 * number + 800 * part - 800
                yield ClipPacket(0, time, 800, bytes([number, part]))
            yield ClipFrame(levels[number], 3003 * number)


def coded(networks: Networks, options: Options = LAYERED, **more: object) -> bytes:
    return written(networks, options, Made(), **more)[0]


def written(
    networks: Networks, options: Options, clip: Made, **more: object
) -> tuple[bytes, EncodedClip]:
    stream = io.BytesIO()
    done = encode_clip(networks, BASE, clip, stream, options, **more)  # type: ignore[arg-type]
    return stream.getvalue(), done


def decoded(
    networks: Networks, data: bytes, **choices: object
) -> tuple[list[ClipFrame], list[ClipPacket], DecodedClip]:
    clip = DecodedClip(networks, io.BytesIO(data), **choices)  # type: ignore[arg-type]
    items = list(clip)
    frames = [item for item in items if isinstance(item, ClipFrame)]
    return frames, [item for item in items if isinstance(item, ClipPacket)], clip


@dataclass
class Taken:
    """Frames up to an error, the error, and what was warned of."""

    frames: list[ClipFrame] = field(default_factory=list)
    error: IcmhError | None = None
    warnings: list[str] = field(default_factory=list)


def taken(networks: Networks, data: bytes, partial: bool) -> Taken:
    """What can be had of the human layer."""
    found = Taken()
    try:
        clip = DecodedClip(networks, io.BytesIO(data), partial=partial, task="human")
        found.warnings = clip.warnings
        found.frames.extend(item for item in clip if isinstance(item, ClipFrame))
    except IcmhError as error:
        found.error = error
    return found


def same(first: list[ClipFrame], second: list[ClipFrame]) -> bool:
    pairs = zip(first, second, strict=False)
    return len(first) == len(second) and all(np.array_equal(a.pixels, b.pixels) for a, b in pairs)


def borders(data: bytes) -> list[int]:
    """Where chunks begin, the header's left out, and the end."""
    return [chunk.offset for chunk in ChunkStream(io.BytesIO(data)) if chunk] + [len(data)]
