"""What a clip says of itself, in the header of a sequence, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from icmhcodec.container.video import AudioStream, Colour, Header
from icmhcodec.imageio.clip import ClipAudio, ClipColour, ClipInfo


def header_fields(info: ClipInfo, sound: bool = True) -> dict[str, Any]:
    """The fields of a header that say what the clip was; without `sound` it has no streams."""
    audio = info.audio if sound else ()
    return {
        "time_base": info.time_base,
        "rate": info.rate,
        "step": info.step,
        "aspect": info.aspect,
        "colour": Colour(*info.colour),
        "audio": tuple(
            AudioStream(a.codec, a.rate, a.layout, a.time_base, a.extradata) for a in audio
        ),
    }


def info_of(header: Header, tags: Mapping[str, str], frames: int | None = None) -> ClipInfo:
    """The clip that a header describes, its frames upright."""
    turned = header.turns % 2 == 1
    colour = header.colour
    return ClipInfo(
        width=header.height if turned else header.width,
        height=header.width if turned else header.height,
        time_base=header.time_base,
        rate=header.rate,
        step=max(1, header.step),
        aspect=1 / header.aspect if turned else header.aspect,
        colour=ClipColour(colour.primaries, colour.transfer, colour.matrix, colour.full),
        audio=tuple(
            ClipAudio(a.codec, a.rate, a.layout, a.time_base, a.extradata) for a in header.audio
        ),
        tags=tags,
        frames=frames,
    )
