"""What is in a file, as plain data; needs neither torch nor weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from icmhcodec import container, modelfile
from icmhcodec.adapters import bundles
from icmhcodec.container import ChunkInfo, Group, Header, Layer, Reference
from icmhcodec.errors import FormatError

_CHANNELS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}
# What an adapter's file has, by the beginning of its tensors' names.
_ROLES = {"encoder": "encoder", "decoder": "decoder", "picture": "task adapter"}


def info(data: bytes, *, partial: bool = False) -> dict[str, Any]:
    """A file's header, layers and chunks; all sizes in bytes of the file, chunk framing included.

    A layer's `end` is the length of the file's beginning that decodes it, for range requests,
    `needs` how many bytes a decoder for its task must have, which in files of several groups are
    fewer; its `fill` the share of the latent's coded elements that it holds. Of predictors and
    adapters is said whether they are `installed` here, and of those that are what they have.
    FormatError for damage, unless `partial`.
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
        "profile": header.profile,
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
            _layer(header, number, layer, chunks, len(data))
            for number, layer in enumerate(header.layers)
        ],
        "chunks": [
            {"type": c.type, "meaning": c.meaning, "offset": c.offset, "bytes": c.size}
            for c in chunks
        ],
    }


def _chunk(chunks: Sequence[ChunkInfo], type_: str, number: int) -> ChunkInfo | None:
    wanted = [
        c for c in chunks if c.type == type_ and number == (c.layer if type_ == "LAYR" else c.group)
    ]
    return wanted[0] if wanted else None


def _reference(reference: Reference) -> dict[str, str]:
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
    header: Header, number: int, layer: Layer, chunks: Sequence[ChunkInfo], total: int
) -> dict[str, Any]:
    coded = sum(other.symbols for other in header.layers if other.group == layer.group)
    chunk = _chunk(chunks, "LAYR", number)
    size = chunk.size if chunk else 0
    adapter = _bundle("adapter", layer.adapter)
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
        "needs": _needs(header, number, chunks),
        "predictor": _bundle("predictor", layer.predictor),
        "adapter": adapter,
        "task_adapter": _ends_in_task_adapter(adapter),
    }


def _needs(header: Header, number: int, chunks: Sequence[ChunkInfo]) -> int | None:
    """Bytes of the part that decodes a layer; None where some of it is not here."""
    group = header.layers[number].group
    wanted = [_chunk(chunks, "HYPR", group)]
    for n, layer in enumerate(header.layers[: number + 1]):
        if layer.group == group:
            wanted.append(_chunk(chunks, "LAYR", n))
    if None in wanted:
        return None
    size = chunks[0].offset + chunks[0].size
    run = 0
    for chunk in chunks[1:]:
        run += chunk.size
        if chunk.type[0].isupper():  # a critical one ends its run
            size += run if chunk in wanted else 0
            run = 0
    return size


def _bundle(kind: str, reference: Reference | None) -> dict[str, Any] | None:
    """A predictor or adapter by name, and what its file says where it is here."""
    if reference is None:
        return None
    unknown = {**_reference(reference), "installed": False, "profile": None, "roles": None}
    for path in _files():
        try:
            metadata, tensors = modelfile.summary(path)
            named = (metadata.get("kind"), metadata.get("id")) == (kind, reference.id)
            if not named or modelfile.fingerprint_of(path) != reference.fingerprint:
                continue
        except FormatError:
            continue
        parts = {name.partition(".")[0] for name in tensors}
        return unknown | {
            "installed": True,
            "profile": metadata.get("profile", "scalable"),
            "roles": [role for part, role in _ROLES.items() if part in parts],
        }
    return unknown


def _files() -> list[Path]:
    folders = (bundles.PACKAGED, modelfile.user_folder())
    return [path for folder in folders for path in sorted(folder.glob("*.safetensors"))]


def _ends_in_task_adapter(adapter: dict[str, Any] | None) -> bool | None:
    """Whether the decoded picture is after a task adapter; None where that cannot be told here."""
    if adapter is None:
        return False
    return "task adapter" in adapter["roles"] if adapter["installed"] else None
