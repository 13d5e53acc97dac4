"""Pictures in and out: pixels, alpha and metadata, from and to the common formats."""

from __future__ import annotations

from icmhcodec.imageio.picture import Picture, from_array, from_pil, to_eight_bits, to_pil
from icmhcodec.imageio.read import read
from icmhcodec.imageio.write import write

__all__ = ["Picture", "from_array", "from_pil", "read", "to_eight_bits", "to_pil", "write"]
