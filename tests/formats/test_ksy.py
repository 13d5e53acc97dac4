"""A reader that was generated from formats/icm.ksy alone reads what ours reads."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import construct
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kaitaistruct import KaitaiStream, KaitaiStruct, ValidationFailedError

from icmhcodec import container
from icmhcodec.container import Header, Layer, LayerData, MaskKind, metadata, structure, video
from icmhcodec.container.chunks import PREAMBLE_BYTES
from icmhcodec.container.contents import Tile
from icmhcodec.container.names import BUNDLES, CODECS, TASKS, Table, names_by_code
from tests.container.samples import (
    GROUP,
    SCALABLE,
    VERSIONS,
    Parts,
    det_layer,
    files,
    human_layer,
    of_version,
)
from tests.container.video.samples import Clip, sequences
from tests.formats import extract, kaitai
from tests.formats.icm_kaitai import Icm
from tests.formats.make import VECTORS, names


def test_the_generated_parser_is_that_of_the_specification() -> None:
    try:
        assert kaitai.compiled() == kaitai.PARSER.read_text(), "run python -m tests.formats.kaitai"
    except kaitai.UnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", names())
def test_every_field_of_the_vectors_is_the_same_for_both(name: str) -> None:
    data = (VECTORS / f"{name}.icm").read_bytes()
    compare(data)
    for chunk in Icm.from_bytes(data).chunks:
        if chunk.type in metadata.METADATA:
            stored = container.Chunk(chunk.type, chunk._raw_payload)
            assert chunk.payload.data == metadata.unpack(stored)


@given(files())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_field_of_any_file_is_the_same_for_both(parts: Parts) -> None:
    compare(parts.build())


@given(files(), st.sampled_from(VERSIONS))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_field_of_a_file_of_any_version_is_the_same_for_both(
    parts: Parts, version: tuple[int, int]
) -> None:
    compare(of_version(parts.build(), version))


def test_every_field_of_a_tiled_file_is_the_same_for_both() -> None:
    explicit = MaskKind.EXPLICIT
    layers = (
        det_layer(70_003, mask=explicit, predictor=None),
        Layer(0, "cls", 1, explicit, 3, 0, 0),
        human_layer(9),
    )
    header = Header(130, 200, 3, 8, (GROUP,), layers, tiles=(2, 4))
    nothing = Tile(0, 0, b"", ())
    det = [
        Tile(70_000, 1, b"mask", (b"first", b"second")),
        *[nothing] * 6,
        Tile(3, 2, b"", (b"s",)),
    ]
    human = [*[nothing] * 2, Tile(9, 3, b"", (b"human",)), *[nothing] * 5]
    data = {0: LayerData(tiles=tuple(det)), 1: LayerData(), 2: LayerData(tiles=tuple(human))}
    compare(container.build(header, {0: (b"hyper",)}, data))


def compare(data: bytes) -> None:
    """Fail where the generated parser finds another value than the Construct declarations do."""
    parsed = Icm.from_bytes(data)
    ours = container.parse(data)
    assert (parsed.major, parsed.minor) == (data[8], data[9])
    chunks = [parsed.header, *parsed.chunks]
    offset = PREAMBLE_BYTES
    for chunk, info in zip(chunks, container.inspect(data), strict=True):
        assert (offset, chunk.type, chunk.place.value) == (info.offset, info.type, info.place)
        assert chunk.length.value == info.payload
        whole = extract.chunk_bytes(chunk)
        assert whole == data[offset : offset + info.size]
        offset += info.size
        if chunk.type == "HEAD":
            _compare_header(chunk.payload, chunk._raw_payload, (data[8], data[9]))
        elif chunk.type == "HYPR":
            assert chunk.payload.group.value == info.group
            assert _segments(chunk.payload) == ours.hyper[chunk.payload.group.value]
        elif chunk.type == "LAYR":
            assert chunk.payload.layer.value == info.layer
            _compare_layer(chunk.payload, ours.layers[chunk.payload.layer.value])
    assert offset == len(data)


@given(sequences())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_field_of_any_sequence_is_the_same_for_both(clip: Clip) -> None:
    compare_sequence(clip.build())


def compare_sequence(data: bytes) -> None:
    """As `compare`, for a sequence."""
    parsed = Icm.from_bytes(data)
    reader = video.Reader(io.BytesIO(data))
    items = [item for item in reader if not isinstance(item, container.Chunk)]
    _compare_sequence_header(parsed.header.payload, parsed.header._raw_payload)
    offset = PREAMBLE_BYTES
    payloads = {kind: [] for kind in ("IFRM", "PFRM", "ILYR", "PLYR", "aUDi", "INDX")}
    order = []
    for chunk in [parsed.header, *parsed.chunks]:
        whole = extract.chunk_bytes(chunk)
        assert whole == data[offset : offset + len(whole)]
        offset += len(whole)
        payloads.get(chunk.type, []).append(chunk.payload)
        if chunk.type in ("IFRM", "PFRM", "aUDi"):
            order.append(chunk.type)
    assert offset == len(data)
    assert reader.index is not None
    (index,) = payloads["INDX"]
    _compare(
        structure.INDEX.parse(next(c._raw_payload for c in parsed.chunks if c.type == "INDX")),
        index,
    )
    assert index.frames.value == reader.index.frames
    assert len(order) == len(items)
    for kind, item in zip(order, items, strict=True):
        if isinstance(item, video.AudioPacket):
            packet = payloads[kind].pop(0)
            assert (packet.stream.value, packet.time.value) == (item.stream, item.time)
            assert (packet.duration.value, packet.data) == (item.duration, item.data)
        else:
            first = payloads[kind].pop(0)
            later = payloads[f"{kind[0]}LYR"]
            _compare_frame(first, [later.pop(0) for _ in range(item.layers - 1)], item)


def _compare_frame(first: Any, later: list[Any], frame: video.Frame) -> None:
    assert [first.crc, *(layer.crc for layer in later)] == list(frame.crcs)
    assert getattr(first, "qualities", None) == (frame.qualities and list(frame.qualities))
    if frame.intra:
        assert (first.frame.value, first.time.value) == (frame.number, frame.time)
    for hyper, latent in zip(first.hyper_latents, frame.latents.values(), strict=True):
        assert (_segments(hyper.segments) if latent.hyper else ()) == latent.hyper
    for number, data in enumerate([first.layer, *(layer.data for layer in later)]):
        parts = [data.last] if frame.intra else [data.motion, data.last]
        for part, latent in zip(parts, frame.latents.values(), strict=True):
            own = latent.layers[number]
            assert (getattr(part, "mask", b""), _segments(part.segments)) == (
                own.mask,
                own.segments,
            )


def _compare_sequence_header(parsed: Any, payload: bytes) -> None:
    _compare(structure.SEQUENCE.parse(payload, version=structure.SEQUENCE_VERSION), parsed)


def _compare_header(parsed: Any, payload: bytes, version: tuple[int, int]) -> None:
    wire = structure.HEADER.parse(payload, version=version)
    columns, rows = wire.pop("tiles")
    _compare(construct.Container(**wire, tile_columns=columns, tile_rows=rows), parsed)


def _compare(wire: Any, parsed: Any) -> None:
    """Compare a value of Construct's with one of Kaitai's, and all values in them."""
    if isinstance(wire, construct.Container):
        for name, value in wire.items():
            if not name.startswith("_"):
                _compare(value, getattr(parsed, name, None))
    elif isinstance(wire, Fraction):
        assert wire.as_integer_ratio() == (parsed.numerator.value, parsed.denominator.value)
    elif isinstance(wire, list):
        assert len(wire) == len(parsed)
        for a, b in zip(wire, parsed, strict=True):
            _compare(a, b)
    else:
        assert (parsed.value if isinstance(parsed, KaitaiStruct) else parsed) == wire


def _compare_layer(parsed: Any, ours: container.LayerData) -> None:
    if parsed.is_tiled:
        tiles = getattr(parsed, "tiles", ())
        assert len(tiles) == len(ours.tiles)
        for entry, tile, own in zip(
            getattr(parsed, "tile_table", ()), tiles, ours.tiles, strict=True
        ):
            assert (entry.symbols.value, entry.crc) == (own.symbols, own.crc)
            assert (getattr(tile, "mask", b""), _segments(tile)) == (own.mask, own.segments)
    else:
        tile = parsed.untiled
        assert (getattr(tile, "mask", b""), _segments(tile)) == (ours.mask, ours.segments)


def _segments(parsed: Any) -> tuple[bytes, ...]:
    if not hasattr(parsed, "last_segment"):
        return ()
    return (*parsed.segments, parsed.last_segment)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("type_", "table"), [(Icm.CodecName, CODECS), (Icm.BundleName, BUNDLES), (Icm.TaskName, TASKS)]
)
def test_codes_of_names(type_: Any, table: Table, version: tuple[int, int]) -> None:
    file = Icm.from_bytes(of_version(SCALABLE.build(), version))

    def read(data: bytes) -> str:
        value: str = type_(KaitaiStream(io.BytesIO(data)), None, file).value
        return value

    names = names_by_code(table, version)
    assert tuple(read(bytes([code])) for code in range(1, len(names))) == names[1:]
    assert read(b"\0\5other") == "other"
    with pytest.raises(ValidationFailedError):
        read(bytes([len(names)]))


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383, 16384, 2**21, 2**28 - 1, 2**32 - 1])
def test_numbers(value: int) -> None:
    assert Icm.Number.from_bytes(structure.Number.build(value)).value == value


@pytest.mark.parametrize("data", [b"\x80\0", b"\x81\x80\0", b"\xff\xff\xff\xff\x10", b"\x80" * 6])
def test_numbers_that_are_none(data: bytes) -> None:
    with pytest.raises(ValidationFailedError):
        Icm.Number.from_bytes(data)
    with pytest.raises(construct.ConstructError):
        structure.Number.parse(data)


@pytest.mark.parametrize("name", ["plain", "one-task", "three-tasks", "machine", "mask-explicit"])
def test_task_layers_are_extracted_without_our_package(name: str, tmp_path: Path) -> None:
    source, target = VECTORS / f"{name}.icm", tmp_path / "part.icm"
    data = source.read_bytes()
    for layer in container.parse(data).header.layers:
        command = [sys.executable, "-S", str(extract.__file__), source, layer.task, target]
        if layer.task == "det":  # in a process of its own; once is enough
            paths = "import sys; print(next(p for p in sys.path if p.endswith('site-packages')))"
            folder = subprocess.check_output([sys.executable, "-c", paths], text=True).strip()
            subprocess.run(command, check=True, env={"PYTHONPATH": folder})
            assert target.read_bytes() == container.split(data, ["det"])
        assert extract.extract(data, layer.task) == container.split(data, [layer.task])
