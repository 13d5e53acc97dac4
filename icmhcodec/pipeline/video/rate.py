"""Rate control: each group of pictures gets the quality that keeps the file within its rate."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from itertools import islice

from icmhcodec.container.video import Frame, Header, Writer
from icmhcodec.pipeline import search
from icmhcodec.pipeline.video.encode import Picture, encode_frames
from icmhcodec.pipeline.video.plan import Plan

SPREAD = 4  # groups over which bytes that were left over are spent
TRIES = 6  # of a group, before the lowest quality decides
SLOPE = math.log(2) / 256  # a size doubles from a quality to the next, about
MARGIN = 0.99  # what a guess aims at
_INDEX, _ENTRY, _PLACE = 64, 24, 4  # more bytes than the index, a group in it, and a place take


def frames_within(
    plan: Plan, pictures: Iterable[Picture], bpp: float, written: Callable[[], int]
) -> Generator[Frame, None, None]:
    """Code pictures so that at the end of each group there are at most `bpp` bits for each pixel.

    `written` gives the bytes of the file so far. A group is kept in memory and coded anew, at a
    lower quality, where it would take more than is left; where even quality 0 takes more the next
    ones make up for it. Frames say their qualities.
    """
    header = plan.header
    per_frame = bpp * header.width * header.height / 8
    allowed = 0.0
    quality, size = header.latents[0].quality, 0.0  # the last group's, the latter for a frame
    source = iter(pictures)
    number = 0
    while group := list(islice(source, header.gop)):
        number += 1
        share = per_frame * len(group)
        allowed += share
        left = allowed - written() - _INDEX - _ENTRY * number

        def sized(quality: int, group: Sequence[Picture] = group) -> tuple[int, list[Frame]]:
            frames = list(encode_frames(_at(plan, quality), group))
            frames = [replace(f, qualities=(quality,) * len(f.latents)) for f in frames]
            return _size(header, frames), frames

        if number == 1:
            frames, _ = search.largest_near(sized, max(1, int(left)), quality)
        else:
            aim = min(left, share + (left - share) / SPREAD)
            guess = _changed(quality, size * len(group), aim)
            frames = _fitting(sized, left, aim, guess)
        assert frames[0].qualities is not None
        quality, size = frames[0].qualities[0], _size(header, frames) / len(frames)
        yield from frames


def _fitting(
    sized: Callable[[int], tuple[int, list[Frame]]], left: float, aim: float, quality: int
) -> list[Frame]:
    """A group's frames at a quality, or at the first lower one that is tried and fits."""
    for tried in range(TRIES + 1):
        size, frames = sized(quality)
        if size <= left or not quality:
            break
        lower = min(quality - 1, _changed(quality, size, aim))
        quality = max(0, lower) if tried < TRIES - 1 else 0
    return frames


def _changed(quality: int, size: float, aim: float) -> int:
    """The quality at which what takes `size` bytes may take `aim`."""
    if aim <= 0:
        return 0
    return min(max(quality + round(math.log(MARGIN * aim / size) / SLOPE), 0), search.HIGHEST)


def _at(plan: Plan, quality: int) -> Plan:
    latents = tuple(replace(latent, quality=quality) for latent in plan.header.latents)
    return replace(plan, header=replace(plan.header, latents=latents))


def _size(header: Header, frames: Sequence[Frame]) -> int:
    """Bytes of a group's chunks, however far in the file they stand."""
    stream = io.BytesIO()
    writer = Writer(stream, header)
    writer.write_frame(frames[0])
    begun = stream.getvalue().index(b"IFRM")  # the type of the first chunk after the header
    for frame in frames[1:]:
        writer.write_frame(frame)
    return stream.tell() - begun + _PLACE * len(frames) * len(header.layers)
