"""Words about a clip, such as its title, in the ancillary chunk `tAGs` (formats/icm.md, 14.1)."""

from __future__ import annotations

from collections.abc import Mapping

from icmhcodec.container import metadata
from icmhcodec.container.contents import Chunk
from icmhcodec.container.limits import DEFAULT_LIMITS, Limits
from icmhcodec.errors import FormatError

TYPE = "tAGs"


def pack_tags(tags: Mapping[str, str]) -> Chunk:
    """The chunk of tags; characters of no text (NUL) are left out."""
    words = [word.replace("\0", "") for pair in tags.items() for word in pair]
    return metadata.pack(TYPE, "\0".join(words).encode("utf-8", "replace"))


def unpack_tags(chunk: Chunk, limits: Limits = DEFAULT_LIMITS) -> dict[str, str]:
    """The tags of a chunk; FormatError where it is damaged."""
    data = metadata.unpack(chunk, limits)
    words = data.decode("utf-8", "replace").split("\0") if data else []
    if len(words) % 2:
        raise FormatError(f"{TYPE}: a tag without its text; damaged")
    return dict(zip(words[::2], words[1::2], strict=True))
