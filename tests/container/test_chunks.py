import zlib
from dataclasses import replace
from typing import Any

import pytest

from icmhcodec.container import SIGNATURE, Chunk, chunks, inspect, parse, read_header, structure
from icmhcodec.container.chunks import scan
from icmhcodec.errors import FormatError, NewerVersionError
from tests.container.samples import (
    EXIF,
    LATER,
    MACHINE,
    SCALABLE,
    Parts,
    bounds,
    filled,
    header,
    human_layer,
    resealed,
    varint,
)

BLOB = SCALABLE.build()
INFOS = inspect(BLOB)
HEAD = BLOB[: INFOS[1].offset]


def piece(number: int) -> bytes:
    return BLOB[INFOS[number].offset : INFOS[number].offset + INFOS[number].size]


def chunk(type_: bytes, place: int, payload: bytes) -> bytes:
    body = type_ + bytes([place, len(payload)]) + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


def version(major: int, minor: int, blob: bytes = BLOB) -> bytes:
    return blob[:8] + bytes([major, minor]) + blob[10:]


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "not an .icm file: it is empty"),
        (b"\x89PNG\r\n\x1a\n", "not an .icm file: it does not begin"),
        (b"hello", "not an .icm file"),
        (BLOB.replace(b"\r\n", b"\n", 1), "transfer as text"),
        (SIGNATURE[:5], "truncated at byte 5: 5 bytes"),
        (BLOB[:10], "truncated at byte 10"),
        (BLOB[:12], "truncated at byte 12"),
        (BLOB[:60], "truncated at byte 60: 33 bytes of HEAD at byte 10"),
        (BLOB[:10] + b"1234" + BLOB[14:], "byte 10: no chunk"),
        (BLOB[:10] + piece(1), "no header"),
        (version(0, 0), "0.0"),
        (BLOB + b"\0", "bytes follow"),
        (BLOB + piece(6), "bytes follow"),
        (HEAD + HEAD[10:], "HEAD"),
    ],
)
def test_what_is_no_file(blob: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        scan(blob)


def test_versions() -> None:
    for older_or_newer in ((0, 1), (1, 0), (1, 9)):
        assert scan(version(*older_or_newer)).header == scan(BLOB).header
    with pytest.raises(NewerVersionError, match=r"2\.0"):
        scan(version(2, 0))


@pytest.mark.parametrize("type_", [b"QUIX", b"HYpR", b"quix"])
def test_unknown_critical_and_reserved_types(type_: bytes) -> None:
    blob = HEAD + chunk(type_, 1, b"")
    for partial in (False, True):
        with pytest.raises(FormatError, match=type_.decode()):
            scan(blob, partial=partial)
        with pytest.raises(NewerVersionError, match="newer"):
            scan(version(1, 2, blob), partial=partial)


@pytest.mark.parametrize(
    ("index", "value"),
    [(12, 5), (13, 12), (18, 200)],
    ids=["channels", "depth", "code"],
)
def test_unknown_values_of_a_newer_minor_version(index: int, value: int) -> None:
    blob = filled(header(human_layer())).build()
    start, end = bounds(blob, 10)
    payload = bytearray(blob[start:end])
    payload[index - 2] = value
    broken = resealed(blob, 10, bytes(payload))
    with pytest.raises(FormatError, match="known"):
        scan(broken)
    with pytest.raises(NewerVersionError, match="known"):
        scan(version(1, 2, broken))


def test_codes_of_a_later_version_are_unknown() -> None:
    later = LATER.build()
    assert scan(later).header == scan(version(1, 2, later)).header
    for older in ((0, 1), (1, 0)):
        for partial in (False, True):
            with pytest.raises(FormatError, match="codec code 5 is not known") as caught:
                scan(version(*older, later), partial=partial)
            assert not isinstance(caught.value, NewerVersionError)


@pytest.mark.parametrize(
    "numbers",
    [(2, 1), (1, 1), (1, 2, 2), (6, 5), (4, 3), (1, 3, 2), (3, 1), (5, 5), (6, 1)],
)
def test_chunks_out_of_order(numbers: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match=r"stands twice or where it cannot|follow after the last"):
        scan(HEAD + b"".join(piece(number) for number in numbers))


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (chunk(b"HYPR", 2, b"\x00\x01a") + chunk(b"LAYR", 3, b"\x00") + piece(3), "icc"),
        (chunk(b"LAYR", 1, b"\x00"), "layer 0"),
        (chunk(b"LAYR", 5, b"\x01"), "human"),
        (chunk(b"prIv", 6, b""), "unknown"),
        (chunk(b"prIv", 7, b""), "unknown"),
        (chunk(b"eXIf", 2, b""), "exif"),
        (piece(3) + chunk(b"iCCp", 4, b""), "icc"),
        (piece(4) + chunk(b"iCCp", 5, b""), "icc"),
        (chunk(b"HYPR", 5, b"\x00\x01a"), "hyper 0"),
        (b"".join(chunk(b"prIv", place, b"") for place in range(1, 5)), "unknown"),
    ],
)
def test_places_that_do_not_fit(blob: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        scan(HEAD + blob)


def test_alpha_must_be_announced_and_there() -> None:
    with pytest.raises(FormatError, match="alpha"):
        filled(header(human_layer()), Chunk("aLPh", b"a")).build()
    with pytest.raises(FormatError, match="alpha"):
        filled(header(human_layer(), channels=2), EXIF).build()
    with pytest.raises(FormatError, match="beyond the limit"):
        filled(header(human_layer(), channels=2), Chunk("aLPh", bytes(14_000))).build()


def test_the_file_id_must_be_right() -> None:
    start, end = bounds(BLOB, 10)
    broken = resealed(BLOB, 10, b"12345678" + BLOB[start + 8 : end])
    with pytest.raises(FormatError, match="file id"):
        scan(broken)
    assert "file id" in scan(broken, partial=True).damage[0]
    assert scan(broken[: INFOS[-1].offset]).missing == ("layer 1 human",)


@pytest.mark.parametrize("parts", [SCALABLE, LATER], ids=["1.0", "1.1"])
@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("where", [0, 3, 4, 5, 6, -1], ids=str)
def test_salvage_finds_all_other_chunks(parts: Parts, number: int, where: int) -> None:
    """Whatever byte of a chunk is damaged, its length included, the other chunks are kept."""
    blob = bytearray(parts.build())
    info = inspect(blob)[number]
    at = info.offset + (where if where >= 0 else info.size - 1)
    blob[at] ^= 0xFF
    found = scan(bytes(blob), partial=True)
    assert [span.place for span in found.spans] == [n for n in range(7) if n != number]
    assert len(found.damage) == 1


def test_salvage_after_inserted_bytes() -> None:
    at = INFOS[2].offset
    found = scan(BLOB[:at] + b"LAYR\x02HYPR" + BLOB[at:], partial=True)
    assert found.complete


def test_salvage_keeps_an_unknown_chunk_after_a_damaged_one() -> None:
    parts = replace(MACHINE, ancillary=(Chunk("prIv", b"x", 2),))
    blob = bytearray(parts.build())
    first = inspect(blob)[1]
    blob[first.offset + first.size - 1] ^= 1
    found = parse(blob, partial=True)
    assert found.ancillary == (Chunk("prIv", b"x", 2),)
    assert found.missing == ("hyper 0",)


def decoyed(intact: int, decoys: int, size: int) -> bytes:
    """Intact chunks, each inside of the claimed end of decoys that claim all of the file."""
    ancillary = tuple(Chunk("prIv", b"x", place + 1) for place in range(intact))
    blob = replace(MACHINE, ancillary=ancillary).build()
    infos = inspect(blob)
    out = bytearray(blob[: infos[1].offset])
    for info in infos[1 : intact + 1]:
        inner = b"".join(
            b"eXIf\x01" + varint(size - len(out) - 200) for _ in range(decoys)
        )  # their CRC is wrong
        out += b"prIv\x01" + varint(len(inner)) + inner + bytes(4)
        out += blob[info.offset : info.offset + info.size]
    return bytes(out) + bytes(size - len(out))


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(HEAD + b"LAYR\x02\xff\xff\x0f" * 60_000, id="long chunks"),
        pytest.param(HEAD + b"LAYR\x02\xff\xff\xff\xff\x0f" * 40_000, id="beyond the end"),
        pytest.param(HEAD + b"LAYR\x80\0" * 60_000, id="no numbers"),
        pytest.param(decoyed(60, 7, 300_000), id="decoys between intact chunks"),
        pytest.param(decoyed(60, 0, 300_000), id="nothing but zeros after it"),
    ],
)
def test_salvage_does_not_hang_on_hostile_files(
    blob: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that claim to be long would otherwise cost work by the square of the size."""
    checked = []
    crc32, unpack = zlib.crc32, structure.unpack

    def counted_crc32(data: memoryview, *start: int) -> int:
        checked.append(len(data))
        return crc32(data, *start)

    def counted_unpack(*arguments: Any, **parameters: Any) -> Any:
        checked.append(1024)
        return unpack(*arguments, **parameters)

    monkeypatch.setattr(zlib, "crc32", counted_crc32)
    monkeypatch.setattr(structure, "unpack", counted_unpack)
    found = scan(blob, partial=True)
    assert found.damage
    # The budget, the walk itself, and one check too many.
    assert sum(checked) < 10 * len(blob) + (1 << 21)


def test_salvage_gives_up_and_keeps_what_it_found() -> None:
    found = scan(decoyed(60, 7, 300_000), partial=True)
    assert 1 < len(found.spans) < 61
    assert not found.complete
    assert "given up" in found.damage[-1]


def test_searching_looks_at_every_byte_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged chunks that say where they end must not each cost a search of all that follows."""
    blob = decoyed(60, 0, 300_000)
    searched = []
    pattern = chunks._KNOWN_TYPE

    class Counted:
        def finditer(self, view: memoryview, start: int, end: int = len(blob)) -> Any:
            at = start
            for match in pattern.finditer(view, start, end):
                searched.append(match.end() - at)
                at = match.end()
                yield match
            searched.append(min(end, len(view)) - at)

    monkeypatch.setattr(chunks, "_KNOWN_TYPE", Counted())
    found = scan(blob, partial=True)
    assert len(found.spans) == 61
    assert sum(searched) < 2 * len(blob)


def test_read_header_needs_no_more_than_the_header() -> None:
    assert read_header(HEAD) == read_header(BLOB + b"anything") == scan(BLOB).header
    with pytest.raises(FormatError, match="truncated"):
        read_header(HEAD[:-1])
