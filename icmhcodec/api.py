"""The functions for a single picture: encode, decode, info; and for a clip."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from icmhcodec.errors import UsageError
from icmhcodec.pipeline.info import info as info

if TYPE_CHECKING:
    from icmhcodec.pipeline.codec import Codec
    from icmhcodec.pipeline.video.clip_decode import DecodedClip
    from icmhcodec.pipeline.video.clip_encode import EncodedClip

BASE = "mbt2018-mean-gain"
OUTPUTS = ("array", "pil", "tensor")


@lru_cache(maxsize=4)
def _codec(base: str, device: str, precision: str) -> Codec:
    from icmhcodec.pipeline.codec import Codec

    return Codec(base, device=device, precision=precision)


def encode(
    image: object,
    *,
    base: str = BASE,
    device: str = "cpu",
    precision: str = "auto",
    **options: Any,
) -> bytes:
    """Encode a picture to the bytes of an .icm file; options as for `Codec.encode`.

    `image` is a PIL image, a uint8 array [H,W,C] or a float tensor [C,H,W] in [0,1].
    """
    return _codec(base, device, precision).encode(image, **options).data


def decode(
    data: bytes,
    *,
    task: str | None = None,
    output: str = "array",
    device: str = "cpu",
    precision: str = "auto",
    **options: Any,
) -> Any:
    """Decode an .icm file: the human picture, or a task's.

    `output` is "array" (uint8 [H,W,C], alpha last), "pil" (with metadata) or "tensor" (float32
    [C,H,W] in [0,1]); options as for `Codec.decode`.
    """
    if output not in OUTPUTS:
        raise UsageError(f"output '{output}': one of {', '.join(OUTPUTS)}")
    from icmhcodec.pipeline.tensors import from_picture

    decoded = _codec(BASE, device, precision).decode(data, task=task, **options)
    return from_picture(decoded.picture, output)


def encode_clip(
    source: str | os.PathLike[str] | BinaryIO,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    base: str = BASE,
    device: str = "cpu",
    precision: str = "auto",
    **options: Any,
) -> EncodedClip:
    """Encode a clip (a file, a folder of frames, a stream); options as for `Codec.encode_clip`.

    Memory does not grow with the clip's length.
    """
    return _codec(base, device, precision).encode_clip(source, target, **options)


def decode_clip(
    source: str | os.PathLike[str] | BinaryIO,
    target: str | os.PathLike[str],
    *,
    task: str | None = None,
    device: str = "cpu",
    precision: str = "auto",
    **options: Any,
) -> DecodedClip:
    """Decode a coded clip to a file or a folder of PNGs; options as for `Codec.decode_clip`."""
    codec = _codec(BASE, device, precision)
    return codec.decode_clip(source, target, task=task, **options)
