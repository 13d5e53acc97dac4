"""The functions for a single picture: encode, decode, info."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from icmhcodec.errors import UsageError
from icmhcodec.pipeline.info import info as info

if TYPE_CHECKING:
    from icmhcodec.pipeline.codec import Codec

OUTPUTS = ("array", "pil", "tensor")


@lru_cache(maxsize=4)
def _codec(base: str, device: str, precision: str) -> Codec:
    from icmhcodec.pipeline.codec import Codec

    return Codec(base, device=device, precision=precision)


def encode(
    image: object,
    *,
    base: str = "mbt2018-mean-gain",
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

    decoded = _codec("mbt2018-mean-gain", device, precision).decode(data, task=task, **options)
    return from_picture(decoded.picture, output)
