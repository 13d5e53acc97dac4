"""What is in a file, as plain data; needs neither torch nor weights."""

from __future__ import annotations

from typing import Any

from icmhcodec import container
from icmhcodec.container import ChunkInfo, Group, Header, Layer, Reference

_CHANNELS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}


def info(data: bytes, *, partial: bool = False) -> dict[str, Any]:
    """A file's header, layers and chunks; all sizes in bytes of the file, chunk framing included.

    A layer's `end` is the length of the file's beginning that decodes it, for range requests;
    its `fill` the share of the latent's coded elements that it holds. FormatError for damage,
    unless `partial`.
    """
    file = container.parse(data, partial=partial)
    chunks = container.inspect(data, partial=partial)
    header = file.header
    pixels = header.width * header.height
    return {
        "version": f"{data[8]}.{data[9]}",
        "file_id": header.file_id.hex(),
        "width": header.width,
        "height": header.height,
        "tiles": {"columns": header.tiles[0], "rows": header.tiles[1]},
        "channels": _CHANNELS[header.channels],
        "bytes": len(data),
        "bpp": 8 * len(data) / pixels,
        "overhead": None if partial else container.overhead(data),
        "complete": not file.missing and not file.damage,
        "missing": list(file.missing),
        "damage": list(file.damage),
        "groups": [
            _group(number, group, _chunk(chunks, "HYPR", number), pixels)
            for number, group in enumerate(header.groups)
        ],
        "layers": [
            _layer(header, number, layer, _chunk(chunks, "LAYR", number), len(data))
            for number, layer in enumerate(header.layers)
        ],
        "chunks": [
            {"type": c.type, "meaning": c.meaning, "offset": c.offset, "bytes": c.size}
            for c in chunks
        ],
    }


def _chunk(chunks: list[ChunkInfo], type_: str, number: int) -> ChunkInfo | None:
    wanted = [
        c for c in chunks if c.type == type_ and number == (c.layer if type_ == "LAYR" else c.group)
    ]
    return wanted[0] if wanted else None


def _reference(reference: Reference | None) -> dict[str, str] | None:
    if reference is None:
        return None
    return {"id": reference.id, "fingerprint": reference.fingerprint.hex()}


def _group(number: int, group: Group, chunk: ChunkInfo | None, pixels: int) -> dict[str, Any]:
    size = chunk.size if chunk else 0
    return {
        "group": number,
        "codec": _reference(group.codec),
        "quality": group.quality / 256,
        "skip": group.skip,
        "present": chunk is not None,
        "bytes": size,
        "bpp": 8 * size / pixels,
    }


def _layer(
    header: Header, number: int, layer: Layer, chunk: ChunkInfo | None, total: int
) -> dict[str, Any]:
    coded = sum(other.symbols for other in header.layers if other.group == layer.group)
    size = chunk.size if chunk else 0
    return {
        "layer": number,
        "task": layer.task,
        "group": layer.group,
        "level": layer.level,
        "mask": layer.mask.name.lower(),
        "fill": layer.symbols / coded if coded else 0.0,
        "symbols": layer.symbols,
        "present": chunk is not None,
        "bytes": size,
        "bits": 8 * size,
        "share": size / total,
        "bpp": 8 * size / (header.width * header.height),
        "offset": chunk.offset if chunk else None,
        "end": chunk.offset + chunk.size if chunk else None,
        "predictor": _reference(layer.predictor),
        "adapter": _reference(layer.adapter),
    }
