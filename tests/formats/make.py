"""Make the golden files in formats/vectors/: `python -m tests.formats.make`.

Vectors that are there stay: they are what later versions of icmh have to decode. New ones are
added. All are made anew only when the format has a newer version than theirs, or for a reason that
is given (`--anew REASON`) and kept in vectors.json.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageCms

from icmhcodec import container, imageio, modelfile
from icmhcodec.adapters import bundles
from icmhcodec.codecs import registry
from icmhcodec.errors import FormatError
from icmhcodec.imageio import Picture
from icmhcodec.pipeline import latent
from icmhcodec.pipeline.codec import Codec
from tests.formats.kaitai import ROOT
from tests.pipeline.conftest import BASE, photo, random_bundle

VECTORS = ROOT / "formats" / "vectors"
BUNDLES = VECTORS / "bundles"
LIST = VECTORS / "vectors.json"

Pixels = npt.NDArray[Any]
HEIGHT, WIDTH = 40, 56
BOX = np.zeros((HEIGHT, WIDTH), bool)
BOX[10:30, 8:40] = True
TASKS = ("det", "cls", "seg")


def pixels(channels: int = 3, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    return photo(height, width, channels)


def coded(picture: object, **options: Any) -> Callable[[Codec], bytes]:
    """A file of a picture, or of the bytes of a picture's file."""

    def make(codec: Codec) -> bytes:
        source = imageio.read(picture) if isinstance(picture, bytes) else picture
        return codec.encode(source, **options).data

    return make


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    """A PNG whose Exif says that it has to be turned."""
    image = Image.fromarray(pixels(3, 24, 40))
    exif = image.getexif()
    exif[0x0112] = orientation
    return saved(image, "PNG", exif=exif)


def with_metadata() -> bytes:
    """A JPEG with a colour profile, Exif (orientation and place among it) and XMP."""
    image = Image.fromarray(pixels())
    exif = image.getexif()
    exif.update({0x010F: "icmh", 0x0110: "golden", 0x0112: 6})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 36.0)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><title>golden</title></x:xmpmeta>'
    return saved(image, "JPEG", quality=95, exif=exif, icc_profile=profile, xmp=xmp)


def sixteen_bits(channels: int = 3) -> Pixels:
    """Samples of 16 bits with something in all of them."""
    levels = pixels(channels).astype(np.uint16) * 257
    return levels ^ np.arange(levels.size, dtype=np.uint16).reshape(levels.shape) % 200


def sixteen_bit_source(codec: Codec) -> bytes:
    buffer = io.BytesIO()
    imageio.write(imageio.from_array(sixteen_bits()), buffer, "png")
    return codec.encode(imageio.read(buffer.getvalue())).data


def of(name: str, change: Callable[[bytes], bytes]) -> Callable[[Codec], bytes]:
    """A vector that is made of another one by moving bytes."""
    return lambda codec: change(MAKERS[name][1](codec))


def joined(data: bytes) -> bytes:
    return container.join([container.rest(data, ["det"]), container.split(data, ["det"])])


def with_unknown_chunks(data: bytes) -> bytes:
    """Private ancillary chunks in the middle of the file and in its metadata run."""
    file = container.parse(data)
    chunks = [container.Chunk("prVt", b"middle", 2), container.Chunk("teSt", b"run")]
    return container.build(file.header, file.hyper, file.layers, [*chunks, *file.ancillary])


LARGE = (100, 150)  # cut into 2 rows of 3 tiles
CORNER = np.zeros(LARGE, bool)
CORNER[70:90, 10:40] = True
ALL = np.ones_like(BOX)
NO_EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"  # without a tag
LAYERED = coded(pixels(), tasks=["det:2"])
MAKERS: dict[str, tuple[str, Callable[[Codec], bytes]]] = {
    "plain": ("RGB, a human layer and nothing else", coded(pixels(), quality=6.5)),
    "quality-0": ("the lowest quality", coded(pixels(), quality=0)),
    "quality-9": ("the highest quality, no skip index", coded(pixels(), quality=9, skip=0)),
    "one-task": ("a derived mask and an adapter, then the human layer", LAYERED),
    "three-tasks": (
        "three nested layers by derived masks, then the human layer",
        coded(pixels(), tasks=["cls:1", "det:2", "seg:4"]),
    ),
    "codes-of-1-1": (
        "version 1.1: the code of a bundle that came with it",
        coded(pixels(), tasks=["det-1:2"]),
    ),
    "without-human": ("a task layer alone", coded(pixels(), tasks=["det"], with_human=False)),
    "mask-explicit": (
        "an explicit mask over positions",
        coded(pixels(), tasks=["det:1"], masks={"det": BOX}),
    ),
    "mask-elements": (
        "explicit masks over elements, for two tasks",
        coded(pixels(), tasks=["cls", "det"], portable=True),
    ),
    "mask-empty": (
        "a task layer that holds nothing",
        coded(pixels(), tasks=["det"], masks={"det": BOX & False}),
    ),
    "mask-full": (
        "an explicit mask of all elements: nothing is left for people",
        coded(pixels(), tasks=["det"], masks={"det": ALL}),
    ),
    "machine": ("profile machine: one group, full mask", coded(
        pixels(), tasks=["det"], profile="machine")),
    "machine-two-tasks": ("profile machine: two groups", coded(
        pixels(), tasks=["det", "cls"], profile="machine")),
    "simulcast": ("two groups for tasks, one for people", coded(
        pixels(), tasks=["det", "cls"], profile="machine", with_human=True)),
    "alpha": ("RGB and alpha", coded(pixels(4))),
    "grey": ("grey", coded(pixels(1))),
    "grey-alpha": ("grey and alpha", coded(pixels(2), quality=9)),
    "source-16-bit": ("made of a PNG of 16 bits", sixteen_bit_source),
    "16-bit-grey-alpha": ("grey and alpha of 16 bits", coded(sixteen_bits(2))),
    "source-palette": ("made of a PNG with a palette", coded(
        saved(Image.fromarray(pixels()).quantize(32), "PNG"))),
    "source-cmyk": ("made of a JPEG in CMYK", coded(
        saved(Image.fromarray(pixels()).convert("CMYK"), "JPEG", quality=95))),
    "metadata": ("ICC profile, Exif and XMP, made of a JPEG that was to be turned",
                 coded(with_metadata(), tasks=["det"])),
    "metadata-alpha": ("all standard ancillary chunks", coded(Picture(
        pixels(4)[:, :, :3], pixels(4)[:, :, 3], b"a profile", NO_EXIF, b"<x/>"))),
    "chunks-unknown": ("private ancillary chunks", of("one-task", with_unknown_chunks)),
    **{
        f"orientation-{n}": (f"made of a PNG with Exif orientation {n}", coded(turned(n)))
        for n in range(1, 9)
    },
    "size-1x1": ("one pixel", coded(pixels(3, 1, 1))),
    "size-17x33": ("odd sides", coded(pixels(3, 33, 17), tasks=["det"])),
    "size-65x129": ("one pixel more than whole hyper-latent positions", coded(pixels(3, 129, 65))),
    "size-1x2000": ("one pixel wide", coded(pixels(3, 2000, 1))),
    "size-2000x1": ("one pixel high", coded(pixels(3, 1, 2000))),
    "tiled": ("tiles of 64 pixels, a derived mask", coded(
        pixels(3, *LARGE), tasks=["det"], tile=64)),
    "tiled-masks": ("explicit masks in tiles, most of them empty", coded(
        pixels(3, *LARGE), tasks=["cls", "det"], portable=True, masks={"cls": CORNER}, tile=64)),
    "part-split": ("what is split off for a task",
                   of("one-task", partial(container.split, tasks=["det"]))),
    "part-rest": ("what is left then: nothing that decodes alone",
                  of("one-task", partial(container.rest, tasks=["det"]))),
    "part-joined": ("both joined again: the same bytes as one-task", of("one-task", joined)),
    "part-simulcast": ("a group of several",
                       of("simulcast", partial(container.split, tasks=["cls"]))),
}  # fmt: skip


def names() -> list[str]:
    """The vectors that are there, by their list."""
    return sorted(recorded()["vectors"])


def recorded() -> dict[str, Any]:
    """What vectors.json says; version and vectors."""
    if not LIST.exists():
        return {"version": list(container.VERSION), "reasons": [], "vectors": {}}
    found: dict[str, Any] = json.loads(LIST.read_text())
    return found


@contextmanager
def installed() -> Iterator[None]:
    """The bundles of the vectors as the user's only ones."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"ICMH_DATA": folder}),
    ):
        for path in sorted(BUNDLES.glob("*.safetensors")):
            bundles.add(path)
        yield


def measured(codec: Codec, data: bytes) -> dict[str, Any]:
    """CRCs of all integers that a file codes: hyper-symbols, and by layers masks and symbols.

    `symbols` and `latent` are of all elements that a layer and those before it give, [M,h,w] and
    [M,H',W'] as little-endian 32-bit integers in plain order; the latent, before the inverse gain,
    counts 256ths.
    """
    header = container.parse(data).header
    found: dict[str, Any] = {"hyper": {}, "layers": {}}
    try:
        symbols = codec.symbols(data)
    except FormatError:
        return found
    for number, layer in enumerate(header.layers):
        name = f"layer {number} {layer.task}"
        if name not in symbols:
            continue
        base = registry.load(header.groups[layer.group].codec.id)
        z = symbols[f"hyper {layer.group}"]
        units = latent.prior_of(base, z, header.width, header.height).padded_mean.clone()
        rows, columns = symbols[name].shape[1:]
        units[:, :rows, :columns] += symbols[name] * 256
        found["hyper"][str(layer.group)] = crc(z)
        found["layers"][layer.task] = {
            "mask": layer.mask_crc,
            "count": layer.symbols,
            "symbols": crc(symbols[name]),
            "latent": crc(units),
        }
    return found


def crc(values: torch.Tensor) -> int:
    return zlib.crc32(values.contiguous().numpy().astype("<i4").tobytes())


def write_bundles() -> None:
    """Predictors and adapters that nobody trained, once and for all: vectors depend on them."""
    BUNDLES.mkdir(parents=True, exist_ok=True)
    for seed, task in enumerate(TASKS):
        for profile in ("scalable", "machine")[: 1 + (task != "seg")]:
            for model in random_bundle(task, seed, profile):
                path = BUNDLES / f"{task}-{profile}-{model.kind}.safetensors"
                if not path.exists():
                    modelfile.write(path, model)
    for model in random_bundle("det", len(TASKS)):
        path = BUNDLES / f"det-1-{model.kind}.safetensors"
        if not path.exists():
            modelfile.write(path, replace(model, metadata={**model.metadata, "id": "det-1"}))


def write(name: str, codec: Codec) -> dict[str, Any]:
    """Write one vector and its pictures; what the list says of it."""
    holds, make = MAKERS[name]
    data = make(codec)
    (VECTORS / f"{name}.icm").write_bytes(data)
    found = measured(codec, data)
    for old in VECTORS.glob(f"{name}.*.png"):
        old.unlink()
    for task in found["layers"]:
        picture = codec.decode(data, **layer(task)).picture
        imageio.write(picture, VECTORS / f"{name}.{task}.png", force=True)
    return {"holds": holds, **found}


def layer(task: str) -> dict[str, Any]:
    """What to ask `Codec.decode` for."""
    return {"human": True} if task == container.HUMAN else {"task": task}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--anew", metavar="REASON", help="make all vectors anew, and say why")
    reason = parser.parse_args().anew
    known = recorded()
    newer = tuple(known["version"]) < container.VERSION
    vectors = {} if newer or reason else dict(known["vectors"])
    wanted = [name for name in MAKERS if name not in vectors]
    if not wanted:
        sys.exit(
            f"all {len(vectors)} vectors are there, of format version "
            f"{'.'.join(map(str, known['version']))}, which is not older than the package's; they "
            "are made anew only with --anew REASON"
        )
    torch.set_num_threads(1)
    write_bundles()
    with installed():
        codec = Codec(BASE)
        for name in wanted:
            vectors[name] = write(name, codec)
    reasons = [*known["reasons"], reason] if reason else known["reasons"]
    listed = {"version": list(container.VERSION), "reasons": reasons, "vectors": vectors}
    LIST.write_text(json.dumps(listed, indent=1) + "\n")
    print(f"{len(wanted)} vectors written: {', '.join(wanted)}")


if __name__ == "__main__":
    main()
