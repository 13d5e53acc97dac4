import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec.container import VERSION, Chunk, Container, LayerData, Limits, Tile, inspect, parse
from icmhcodec.container.header import version_to_write
from icmhcodec.errors import FormatError, NewerVersionError
from tests.container.samples import (
    LATER,
    MACHINE,
    SCALABLE,
    VERSIONS,
    Parts,
    bounds,
    det_layer,
    files,
    filled,
    header,
    human_layer,
    of_version,
    resealed,
    with_right_id,
)

BLOB = SCALABLE.build()
BLOBS = [BLOB, MACHINE.build(), LATER.build(), of_version(LATER.build(), VERSION)]


def rebuilt(data: Container) -> bytes:
    return Parts(data.header, data.hyper, data.layers, data.ancillary).build()


@given(files())
@settings(max_examples=60, deadline=None)
def test_round_trip(parts: Parts) -> None:
    data = parts.build()
    found = parse(data)
    assert (found.hyper, found.layers) == (parts.hyper, parts.layers)
    assert sorted((c.type, c.payload) for c in found.ancillary) == sorted(
        (c.type, c.payload) for c in parts.ancillary
    )
    assert replace(found.header, file_id=bytes(8), ancillary=0) == parts.header
    assert not found.missing
    assert not found.damage
    assert rebuilt(found) == data


@given(files(), st.sampled_from(VERSIONS))
@settings(max_examples=60, deadline=None)
def test_a_file_of_any_version(parts: Parts, version: tuple[int, int]) -> None:
    data = parts.build()
    other = of_version(data, version)
    found, expected = parse(other), parse(data)
    file_id = found.header.file_id
    assert found == replace(expected, header=replace(expected.header, file_id=file_id))
    assert rebuilt(found) == data


TILED = Parts(
    header(human_layer(5), width=128, tiles=(2, 1)),
    {0: (b"hyper",)},
    {0: LayerData(tiles=(Tile(4, 1, b"", (b"one",)), Tile(1, 2, b"", (b"two",))))},
).build()


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (1, 5, "other symbols"),  # of the first tile
        (2, 4, "do not end"),  # its length
        (2, 0, "do not end"),
    ],
)
def test_tile_tables_that_do_not_add_up(at: int, value: int, message: str) -> None:
    info = inspect(TILED)[-1]
    start, end = bounds(TILED, info.offset)
    payload = bytearray(TILED[start:end])
    payload[at] = value
    broken = resealed(TILED, info.offset, bytes(payload))
    with pytest.raises(FormatError):
        parse(broken)
    found = parse(broken, partial=True)
    assert found.missing == ("layer 0 human",)
    assert re.search(message, found.damage[-1])


def test_a_tile_table_that_ends_early() -> None:
    info = inspect(TILED)[-1]
    start, end = bounds(TILED, info.offset)
    for length in range(1, end - start):
        with pytest.raises(FormatError):
            parse(resealed(TILED, info.offset, TILED[start : start + length]))


@pytest.mark.parametrize("wrap", [bytearray, memoryview])
def test_other_buffers(wrap: type) -> None:
    assert parse(wrap(BLOB)) == parse(BLOB)


@pytest.mark.parametrize("blob", [BLOB, MACHINE.build()], ids=["scalable", "machine"])
def test_every_truncation(blob: bytes) -> None:
    """An end between chunks leaves a valid part; one inside a chunk is an error that says where."""
    infos = inspect(blob)
    ends = {info.offset + info.size for info in infos}
    for length in range(len(blob)):
        cut = blob[:length]
        if length in ends:
            found = parse(cut)
            assert found.missing
            assert not found.damage
            continue
        with pytest.raises(FormatError, match=f"truncated at byte {length}:|empty"):
            parse(cut)
        if length > infos[0].size + 10:
            found = parse(cut, partial=True)
            assert found.damage
            whole = sum(info.offset + info.size <= length for info in infos)
            assert 1 + len(found.hyper) + len(found.layers) + len(found.ancillary) == whole


def test_what_a_cut_file_lacks() -> None:
    layer = inspect(BLOB)[2]
    assert parse(BLOB[: layer.offset]).missing == (
        "layer 0 det",
        "layer 1 human",
        "3 of 3 ancillary chunks",
    )


@given(st.data(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_mutations(data: st.DataObject, partial: bool) -> None:
    blob = bytearray(data.draw(st.sampled_from(BLOBS)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(blob) - 1))
        size = data.draw(st.integers(0, 4))
        blob[at : at + size] = data.draw(st.binary(max_size=4))
    try_parse(bytes(blob), partial)


@given(st.data(), st.booleans())
@settings(max_examples=400, deadline=None)
def test_resealed_mutations(data: st.DataObject, partial: bool) -> None:
    """With a right CRC, and for the header a right file id, anything is an error or consistent."""
    blob = data.draw(st.sampled_from(BLOBS))
    info = data.draw(st.sampled_from(inspect(blob)))
    start, end = bounds(blob, info.offset)
    payload = bytearray(blob[start:end])
    at = data.draw(st.integers(0, len(payload)))
    payload[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    mutated = with_right_id(resealed(blob, info.offset, bytes(payload)))
    try_parse(mutated, partial)


@given(st.binary(max_size=80), st.booleans())
@settings(deadline=None)
def test_random_headers(payload: bytes, partial: bool) -> None:
    try_parse(resealed(BLOB, 10, payload), partial)


@given(st.binary(max_size=80))
@settings(deadline=None)
def test_random_chunks_after_the_header(data: bytes) -> None:
    try_parse(BLOB[: inspect(BLOB)[1].offset] + data, True)


def try_parse(blob: bytes, partial: bool) -> None:
    """Either an error of one line, or a file that is built again to the same bytes."""
    found, message = None, ""
    try:
        found = parse(blob, partial=partial)
    except (FormatError, NewerVersionError) as error:
        message = str(error)
    assert "\n" not in message
    if found and not found.missing and not found.damage:
        # The version is not part of what is parsed: a file is written in the lowest that it needs,
        # and where it is of an earlier one, what was spelled out gets a code.
        version, written = (blob[8], blob[9]), version_to_write(found.header)
        if max(version, VERSION) < written:
            blob = of_version(blob, written)
        assert rebuilt(found) == blob[:8] + bytes(written) + blob[10:]


@pytest.mark.parametrize(
    ("index", "payload", "message"),
    [
        (1, b"\x00\x01rest", None),
        (1, b"\x00\x00", "segments"),
        (1, b"\x00\x03\x01\x01ab", "1 to 1"),
        (1, b"\x01\x01ab", "no HYPR 1"),
        (1, b"\x80\x00\x01ab", "shortest"),
        (1, b"\x00", "too early"),
        (1, b"", "too early"),
        (2, b"\x01abc", "stands twice"),
        (2, b"\x02abc", "no LAYR 2"),
    ],
)
def test_payloads(index: int, payload: bytes, message: str | None) -> None:
    blob = with_right_id(resealed(BLOB, inspect(BLOB)[index].offset, payload))
    if message is None:
        assert parse(blob).hyper[0] == (b"rest",)
    else:
        with pytest.raises(FormatError, match=message):
            parse(blob)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"\x00\x03ab", "longer than the payload"),
        (b"\x00\x82\x00ab", "shortest"),
        (b"\x00", "too early"),
    ],
)
def test_wrong_segment_tables(payload: bytes, message: str) -> None:
    blob = filled(header(det_layer(symbols=70_000), width=640, height=640)).build()
    blob = with_right_id(resealed(blob, inspect(blob)[2].offset, payload))
    with pytest.raises(FormatError, match=message):
        parse(blob)


def test_a_mask_longer_than_its_payload() -> None:
    blob = MACHINE.build()
    offset = next(info.offset for info in inspect(blob) if info.meaning == "layer 1 cls")
    with pytest.raises(FormatError, match="its mask is longer"):
        parse(with_right_id(resealed(blob, offset, b"\x01\x05mask")))


def test_bytes_after_an_empty_layer() -> None:
    blob = filled(header(det_layer(symbols=0, symbols_crc=0))).build()
    with pytest.raises(FormatError, match="follow after its end"):
        parse(with_right_id(resealed(blob, inspect(blob)[2].offset, b"\x00a")))


def test_damage_is_listed_and_the_rest_kept() -> None:
    info = inspect(BLOB)[2]
    blob = bytearray(BLOB)
    blob[info.offset + info.size - 5] ^= 1
    with pytest.raises(FormatError, match="wrong CRC"):
        parse(blob)
    found = parse(blob, partial=True)
    assert found.missing == ("layer 0 det",)
    assert len(found.damage) == 1
    assert found.layers[1] == SCALABLE.layers[1]
    assert len(found.ancillary) == 3


def test_a_bad_payload_with_a_right_crc_is_damage_too() -> None:
    blob = resealed(BLOB, inspect(BLOB)[1].offset, b"\x00\x00")
    found = parse(blob, partial=True)
    assert found.missing == ("hyper 0",)
    assert any("segments" in line for line in found.damage)
    assert set(found.layers) == {0, 1}


def test_metadata_limit() -> None:
    with pytest.raises(FormatError, match="beyond the limit of 20"):
        parse(BLOB, limits=Limits(metadata=20))


def test_unknown_ancillary_chunks_are_kept() -> None:
    parts = replace(
        SCALABLE, ancillary=(*SCALABLE.ancillary, Chunk("prIv", b"x"), Chunk("prIv", b"x", 1))
    )
    found = parse(parts.build())
    assert found.ancillary[0] == Chunk("prIv", b"x", 1)
    assert found.ancillary[-1] == Chunk("prIv", b"x", 0)


def test_human_only() -> None:
    assert parse(filled(header(human_layer())).build()).layers.keys() == {0}
