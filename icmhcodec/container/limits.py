"""What a reader accepts by default (formats/icm.md, section 10)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper bounds that are checked before anything is allocated; a caller may raise them."""

    pixels: int = 178_956_970
    frame: int = 1 << 25  # pixels of a frame of a sequence, which is decoded as a whole
    side: int = 1 << 20
    groups: int = 16
    layers: int = 64
    chunks: int = 1024
    tiles: int = 4096
    header: int = 1 << 16  # bytes of the header's payload
    metadata: int = 1 << 26  # bytes of ancillary payloads together, alpha aside
    audio: int = 16  # audio streams of a sequence
    packet: int = 1 << 22  # bytes of the payload of an audio chunk
    index: int = 4096  # entries of a sequence's index


DEFAULT_LIMITS = Limits()
