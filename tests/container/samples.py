"""Files for the container's tests: fixed ones, and strategies that draw any."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from icmhcodec.container import (
    HUMAN,
    Chunk,
    Group,
    Header,
    Layer,
    LayerData,
    MaskKind,
    Reference,
    Tile,
    build,
    parse,
)
from icmhcodec.container.chunks import file_id
from icmhcodec.container.header import pack_header

CODEC = Reference("mbt2018-mean-gain-0", bytes(range(8)))
DET = Reference("det-0", b"detector")
GROUP = Group(CODEC, quality=1024, skip=4, hyper_crc=0x12345678)


@dataclass(frozen=True)
class Parts:
    """The arguments of `build`."""

    header: Header
    hyper: dict[int, tuple[bytes, ...]]
    layers: dict[int, LayerData]
    ancillary: tuple[Chunk, ...] = ()

    def build(self) -> bytes:
        return build(self.header, self.hyper, self.layers, self.ancillary)


def det_layer(symbols: int = 3, **changes: Any) -> Layer:
    layer = Layer(0, "det", 2, MaskKind.DERIVED, 7, symbols, 8, DET, DET)
    return replace(layer, **changes)


def human_layer(symbols: int = 5, **changes: Any) -> Layer:
    return replace(Layer(0, HUMAN, 0, MaskKind.FULL, 0, symbols, 9), **changes)


def header(*layers: Layer, **changes: Any) -> Header:
    groups = (GROUP,) * len({layer.group for layer in layers})
    return replace(Header(96, 64, 3, 8, groups, layers), **changes)


def filled(wanted: Header, *ancillary: Chunk) -> Parts:
    """A file of this header with a few bytes in every segment."""
    explicit = MaskKind.EXPLICIT
    layers = {
        number: LayerData(
            b"mask" if layer.mask is explicit else b"",
            tuple(b"%d.%d" % (number, i) for i in range(layer.segments)),
        )
        for number, layer in enumerate(wanted.layers)
    }
    hyper = {number: (b"hyper%d" % number,) for number in range(len(wanted.groups))}
    return Parts(wanted, hyper, layers, ancillary)


EXIF = Chunk("eXIf", b"II*\0here and then")
SCALABLE = filled(
    header(det_layer(), human_layer(), channels=4),
    Chunk("iCCp", b"profile"),
    EXIF,
    Chunk("aLPh", b"alpha"),
)
MACHINE = filled(
    header(
        det_layer(mask=MaskKind.FULL, mask_crc=0, predictor=None),
        Layer(1, "cls", 1, MaskKind.EXPLICIT, 5, 2, 6, None, Reference("cls-7", b"class--7")),
    ),
    EXIF,
)
# With names that version 1.1 gave codes, and else as SCALABLE.
CODEC_1, DET_1 = replace(CODEC, id="mbt2018-mean-gain-1"), replace(DET, id="det-1")
LATER = replace(
    SCALABLE,
    header=replace(
        SCALABLE.header,
        groups=(replace(GROUP, codec=CODEC_1),),
        layers=(det_layer(predictor=DET_1, adapter=DET_1), human_layer()),
    ),
)
VERSIONS = ((0, 1), (1, 0), (1, 1), (1, 2))

names = st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z0-9-]{1,8})?", fullmatch=True)
crcs = st.integers(0, 2**32 - 1)
payloads = st.binary(max_size=40)
coded_names = ["det-0", "det-1", "cls-1", "test-tiny", "mbt2018-mean-gain-1", "dvc-1"]
references = st.builds(
    Reference, names | st.sampled_from(coded_names), st.binary(min_size=8, max_size=8)
)
groups = st.builds(Group, references, st.integers(0, 2304), st.integers(0, 64), crcs)
private_types = st.from_regex(r"[a-z][A-Za-z][A-Z][a-z]", fullmatch=True).filter(
    lambda type_: type_ not in ("iCCp", "eXIf", "xMPp", "aLPh")
)


@st.composite
def task_layers(draw: Any, group: int, task: str) -> Layer:
    kind = draw(st.sampled_from(MaskKind))
    empty = kind is MaskKind.EMPTY
    symbols = 0 if empty else draw(st.sampled_from([0, 1, 65_536, 65_537, 140_000]))
    return Layer(
        group,
        task,
        draw(st.integers(0, 255)),
        kind,
        draw(crcs) if kind in (MaskKind.DERIVED, MaskKind.EXPLICIT) else 0,
        symbols,
        draw(crcs) if symbols else 0,
        draw(references) if kind is MaskKind.DERIVED else None,
        draw(st.none() | references),
    )


@st.composite
def layer_tables(draw: Any) -> list[Layer]:
    """Layers of any profile, mixed ones too."""
    tasks = draw(st.lists(names | st.sampled_from(["cls", "det", "seg"]), max_size=4, unique=True))
    tasks = [task for task in tasks if task != HUMAN]
    layers: list[Layer] = []
    group = 0
    for number, task in enumerate(tasks):
        group += draw(st.integers(0, 1)) if number else 0
        layers.append(draw(task_layers(group, task)))
    if not layers or draw(st.booleans()):
        group += draw(st.integers(0, 1)) if layers else 0
        symbols = draw(st.integers(0, 70_000))
        crc = draw(crcs) if symbols else 0
        layers.append(human_layer(symbols, group=group, symbols_crc=crc))
    return layers


@st.composite
def files(draw: Any) -> Parts:
    """Any valid file, with ancillary chunks anywhere."""
    layers = tuple(draw(layer_tables()))
    channels = draw(st.integers(1, 4))
    count = layers[-1].group + 1
    table = tuple(draw(st.lists(groups, min_size=count, max_size=count)))
    grid = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (4, 3)]))
    wanted = Header(1000, 700, channels, 8, table, layers, grid)
    standard = [type_ for type_ in ("iCCp", "eXIf", "xMPp") if draw(st.booleans())]
    standard += ["aLPh"] * (channels in (2, 4))
    ancillary = [Chunk(type_, draw(payloads)) for type_ in standard]
    critical = count + len(layers) - (layers[-1].task == HUMAN)
    # All of these places lie before the last critical chunk that is not the human layer.
    places = draw(st.lists(st.integers(1, critical), max_size=3, unique=True))
    for place in [*places, *[0] * draw(st.integers(0, 2))]:
        ancillary.append(Chunk(draw(private_types), draw(payloads), place))
    return Parts(
        wanted,
        {
            number: tuple(draw(st.lists(payloads, min_size=1, max_size=3)))
            for number in range(count)
        },
        {
            number: LayerData(
                draw(payloads) if layer.mask is MaskKind.EXPLICIT else b"",
                tuple(draw(payloads) for _ in range(layer.segments)),
            )
            if grid == (1, 1)
            else LayerData(tiles=draw(tiles(layer, grid[0] * grid[1])))
            for number, layer in enumerate(layers)
        },
        tuple(ancillary),
    )


@st.composite
def tiles(draw: Any, layer: Layer, count: int) -> tuple[Tile, ...]:
    """The tiles of a layer, none where it has no symbols."""
    if not layer.symbols:
        return ()
    cuts = st.lists(st.integers(0, layer.symbols), min_size=count - 1, max_size=count - 1)
    ends = [0, *sorted(draw(cuts)), layer.symbols]
    return tuple(draw(tile(end - start, layer.mask)) for start, end in pairwise(ends))


@st.composite
def tile(draw: Any, symbols: int, mask: MaskKind) -> Tile:
    if not symbols:
        return Tile(0, 0, b"", ())
    segments = tuple(draw(st.binary(min_size=1, max_size=40)) for _ in range(-(-symbols // 65_536)))
    explicit = draw(payloads) if mask is MaskKind.EXPLICIT else b""
    return Tile(symbols, draw(crcs), explicit, segments)


def resealed(data: bytes, offset: int, payload: bytes) -> bytes:
    """The file with another payload in the chunk at `offset`, its CRC made right."""
    _, end = bounds(data, offset)
    body = data[offset : offset + 5] + varint(len(payload)) + payload
    return data[:offset] + body + zlib.crc32(body).to_bytes(4, "little") + data[end + 4 :]


def with_right_id(data: bytes) -> bytes:
    """The file with the file id of its header and chunks."""
    start, end = bounds(data, 10)
    offset, crcs = end + 4, []
    while offset < len(data):
        _, stop = bounds(data, offset)
        crcs.append(int.from_bytes(data[stop : stop + 4], "little"))
        offset = stop + 4
    payload = data[start:end]
    return resealed(data, 10, file_id(payload, crcs) + payload[8:])


def of_version(data: bytes, version: tuple[int, int]) -> bytes:
    """The complete file as one of another version, its names coded or spelled out accordingly."""
    header = pack_header(parse(data).header, version)
    return with_right_id(data[:8] + bytes(version) + resealed(data, 10, header)[10:])


def bounds(data: bytes, offset: int) -> tuple[int, int]:
    """Where the payload of the chunk at `offset` begins and ends; its place is below 128."""
    at, length, shift = offset + 5, 0, 0
    while True:
        length |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return at, at + length


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
