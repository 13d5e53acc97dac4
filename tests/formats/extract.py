"""Take the layers for a task out of a file, with a parser that was generated from icm.ksy alone.

    python tests/formats/extract.py FILE TASK PART

It imports nothing of icmhcodec: what stands here is what anybody can do with formats/icm.md.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from icm_kaitai import Icm

SIGNATURE_AND_VERSION = 10


def extract(data: bytes, task: str) -> bytes:
    """The part that a task needs (formats/icm.md, section 9)."""
    file = Icm.from_bytes(data)
    layers = file.header.payload.layers
    last = next(number for number, layer in enumerate(layers) if layer.task.value == task)
    group = layers[last].group.value
    part = [data[:SIGNATURE_AND_VERSION], chunk_bytes(file.header)]
    run: list[bytes] = []
    for chunk in file.chunks:
        run.append(chunk_bytes(chunk))
        if chunk.type[0].isupper():
            hyper = chunk.type == "HYPR" and chunk.payload.group.value == group
            layer = chunk.payload.layer.value if chunk.type == "LAYR" else last + 1
            if hyper or (layer <= last and layers[layer].group.value == group):
                part += run
            run = []
    return b"".join(part)


def chunk_bytes(chunk: Any) -> bytes:
    """A chunk as it stands in the file; its CRC is checked."""
    payload = getattr(chunk, "_raw_payload", chunk.payload)
    body = chunk.type.encode() + bytes(chunk.place.bytes) + bytes(chunk.length.bytes) + payload
    if zlib.crc32(body) != chunk.crc:
        sys.exit(f"{chunk.type} has a wrong CRC")
    return body + chunk.crc.to_bytes(4, "little")


if __name__ == "__main__":
    source, task, target = sys.argv[1:]
    Path(target).write_bytes(extract(Path(source).read_bytes(), task))
    assert not {name.split(".")[0] for name in sys.modules} & {"icmhcodec", "construct", "torch"}
