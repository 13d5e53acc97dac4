"""icmh: pictures coded in layers, for machines and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from icmhcodec.errors import (
    FormatError,
    IcmhError,
    MissingWeightsError,
    NewerVersionError,
    UsageError,
)

if TYPE_CHECKING:
    from icmhcodec.api import decode, decode_clip, encode, encode_clip, info
    from icmhcodec.pipeline.codec import Codec

__version__ = "0.1.0"
__all__ = [
    "Codec",
    "FormatError",
    "IcmhError",
    "MissingWeightsError",
    "NewerVersionError",
    "UsageError",
    "decode",
    "decode_clip",
    "encode",
    "encode_clip",
    "info",
]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: only what needs it loads it.
    if name == "Codec":
        from icmhcodec.pipeline.codec import Codec

        return Codec
    if name in ("decode", "decode_clip", "encode", "encode_clip", "info"):
        from icmhcodec import api

        return getattr(api, name)
    raise AttributeError(f"module 'icmhcodec' has no attribute '{name}'")
