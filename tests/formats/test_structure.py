"""formats/icm.md, formats/icm.ksy and the Construct declarations say the same; none moves alone."""

from __future__ import annotations

import re
from typing import Any

import construct as c
import pytest

from icmhcodec.container import DEFAULT_LIMITS, SEGMENT_SYMBOLS, SIGNATURE, VERSION, MaskKind
from icmhcodec.container import structure as declared
from icmhcodec.container.chunks import STANDARD
from icmhcodec.container.names import BUNDLES, CODECS, TASKS, names_by_code
from icmhcodec.container.structure import SEQUENCE_VERSION
from icmhcodec.container.video import chunks as stream
from icmhcodec.container.video import frames
from tests.formats.kaitai import ROOT, specification

PAGE = (ROOT / "formats" / "icm.md").read_text()
KSY: dict[str, Any] = specification()
Rows = list[list[str]]
# Where the page says what Construct and Kaitai have in a structure of its own.
REFERENCE = ["codec", "fingerprint"]


def tables(heading: str) -> list[Rows]:
    """The tables under a heading of the page, without their first two lines; cells as text."""
    section = re.search(rf"^#+ {re.escape(heading)}.*?(?=^#|\Z)", PAGE, re.M | re.S)
    assert section, f"icm.md has no section {heading!r}"
    found: list[Rows] = [[]]
    for line in section[0].splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [table[2:] for table in found if table]


def fields(table: Rows) -> list[str]:
    """Names of the fields, as the declarations write them."""
    names = [row[1].lower().replace(" ", "_") for row in table]
    return [{"group_table": "groups", "layer_table": "layers"}.get(name, name) for name in names]


def kaitai(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = KSY["types"][name]["seq"]
    return entries


def kaitai_fields(name: str, dropped: tuple[str, ...] = ()) -> list[str]:
    """Names of a type's fields; a count and what it counts have one name on the page."""
    names = [entry["id"].removeprefix("num_") for entry in kaitai(name)]
    return [part for name in names if name not in dropped for part in expanded(name)]


def construct_fields(structure: Any) -> list[str]:
    names = []
    for field in structure.subcons:
        if field.name in (None, "size"):
            continue
        counted = isinstance(field.subcon, c.FocusedSeq)  # what PrefixedArray makes
        names += [field.name] * counted + expanded(field.name)
    return names


def expanded(name: str) -> list[str]:
    """A declared field as the page's fields."""
    return {
        "codec": REFERENCE,
        "tiles": ["tile_columns", "tile_rows"],
        "text": ["length", "name"],
    }.get(name, [name])


def test_the_file() -> None:
    signature, major, minor, chunks = tables("3. File")[0]
    assert bytes.fromhex(signature[2].split("`")[1]) == SIGNATURE
    seq = {entry["id"]: entry for entry in KSY["seq"]}
    contents = seq["signature"]["contents"]
    assert b"".join(p.encode() if isinstance(p, str) else bytes([p]) for p in contents) == SIGNATURE
    minors = re.match(r"(\d), or (\d) in a sequence .* code of version 1\.(\d)", minor[2])
    assert minors
    versions = [(int(major[2]), int(number)) for number in minors.groups()]
    assert versions == [VERSION, SEQUENCE_VERSION, max(CODECS)]
    newest = ".".join(map(str, SEQUENCE_VERSION))
    assert PAGE.startswith(f"# The .icm file format, version {newest}\n")
    assert seq["major"]["valid"] == {"max": VERSION[0]}
    assert list(seq) == ["signature", "major", "minor", "header", "chunks"]
    assert chunks[1] == "chunks"


def test_chunks() -> None:
    on_page = fields(tables("3.1 Chunk")[0])
    assert on_page == kaitai_fields("chunk")
    assert on_page == [*construct_fields(declared.CHUNK), "payload", "crc"]


def test_types_of_chunks() -> None:
    types = [row[0].strip("`") for row in tables("3.1 Chunk")[2]]
    assert types == ["HEAD", "HYPR", "LAYR", *STANDARD]
    payload = next(entry for entry in kaitai("chunk") if entry["id"] == "payload")
    assert [case.strip('"') for case in payload["type"]["cases"]][: len(types)] == types


def test_types_of_chunks_of_sequences() -> None:
    cells = [row[0] for row in tables("14.1 Chunks of a sequence")[0]]
    types = [type_ for cell in cells for type_ in re.findall(r"`(\w+)`", cell)]
    frame_types = [type_ for pair in zip(stream.FIRST, stream.LATER, strict=True) for type_ in pair]
    assert types == ["SEQH", *stream.METADATA, *frame_types, stream.AUDIO, stream.INDEX]
    payload = next(entry for entry in kaitai("chunk") if entry["id"] == "payload")
    cases = [case.strip('"') for case in payload["type"]["cases"]]
    assert cases[len(cases) - 7 :] == ["SEQH", "tAGs", *types[5:]][-7:]
    assert set(types) <= set(cases)


SEQUENCE_TABLES = [
    ("14.2 `SEQH`", "sequence", declared.SEQUENCE),
    ("14.2.1 Entry", "audio_stream", declared.AUDIO_STREAM),
    ("14.2.2 Entry", "latent", declared.LATENT),
    ("14.2.3 Entry", "choice", declared.CHOICE),
    ("14.5 `aUDi`", "audio", declared.AUDIO_START),
    ("14.6 `INDX`", "index", declared.INDEX),
]


@pytest.mark.parametrize(("heading", "name", "structure"), SEQUENCE_TABLES)
def test_structures_of_sequences(heading: str, name: str, structure: Any) -> None:
    names = [row[1].lower().replace(" ", "_") for row in tables(heading)[0]]
    on_page = [
        {"audio_table": "audio", "latent_table": "latents", "layer_table": "layers",
         "entry_table": "entries"}.get(name, name)
        for name in names
    ]  # fmt: skip
    ids = [entry["id"].removeprefix("num_") for entry in kaitai(name)]
    assert on_page == [part for part in ids if not part.startswith("len_")]
    own = []
    for field in structure.subcons:
        if field.name and field.subcon is not c.Tell:
            counted = isinstance(field.subcon, c.FocusedSeq)  # what PrefixedArray makes
            own += [field.name] * (1 + counted)
    assert on_page == own + ["data"] * (name == "audio")
    ours = {field.name: field.subcon for field in structure.subcons if field.name}
    for row, field in zip(tables(heading)[0], on_page, strict=True):
        kind = next(e.get("type", f"u{e.get('size')}") for e in kaitai(name) if e["id"] == field
                    or e["id"] == f"num_{field}")  # fmt: skip
        if re.fullmatch(r"u\d", str(kind)):
            assert row[0] == kind[1:], field
            assert width(ours[field]) == int(kind[1:]), field
        if kind in ("number", "signed", "long", "ratio", "text") and row[0]:
            says = {"long": "long number", "signed": "signed number"}.get(kind, kind)
            assert row[2].startswith(says), field


@pytest.mark.parametrize(
    ("column", "name", "structure"),
    [(0, "intra_frame", declared.INTRA_START), (1, "inter_frame", declared.INTER_START)],
)
def test_frames(column: int, name: str, structure: Any) -> None:
    rows = tables("14.3 `IFRM`")[0]
    on_page = [row[1].lower().replace("-", "_") for row in rows]
    if column:
        on_page.remove("frame")
        assert "`IFRM` alone" in rows[1][2]
    assert on_page == [entry["id"] for entry in kaitai(name)]
    assert on_page == [*construct_fields(structure), "hyper_latents", "layer"]
    bits = declared.FRAME_FLAGS.subcon.subcons
    assert [bit.name for bit in bits] == kaitai_fields("frame_flags")
    assert f"modulo {frames.COUNTS}" in rows[0][2]


def test_later_layers() -> None:
    layer, data = tables("14.4 `ILYR`")
    on_page = fields(layer)
    assert on_page == kaitai_fields("later_layer")
    assert on_page == [*construct_fields(declared.LATER_START), "data"]
    assert fields(data)[:3] == ["mask_length", "mask", "segments"]
    assert [entry["id"] for entry in kaitai("latent_data")] == [
        "mask_length", "mask", "num_segments", "segments",
    ]  # fmt: skip
    counted = KSY["types"]["latent_data"]["instances"]["is_counted"]["value"]
    assert counted.endswith(f"> {SEGMENT_SYMBOLS}")
    assert f"more than {SEGMENT_SYMBOLS:,} elements" in PAGE


def test_the_header() -> None:
    on_page = fields(tables("4. `HEAD`")[0])
    assert on_page == kaitai_fields("head")
    assert on_page == construct_fields(declared.HEADER)


def test_entries_of_the_group_table() -> None:
    on_page = fields(tables("4.1 Entry")[0])
    assert on_page == kaitai_fields("group")
    assert on_page == construct_fields(declared.GROUP)


def test_entries_of_the_layer_table() -> None:
    on_page = fields(tables("4.2 Entry")[0])
    assert on_page == kaitai_fields("layer_entry")
    assert on_page == construct_fields(declared.LAYER)
    flags = next(field for field in declared.LAYER.subcons if field.name == "flags")
    bits = flags.subcon.subcon.subcons
    assert [bit.name for bit in bits] == kaitai_fields("flags")


def test_names() -> None:
    wire, first, added = tables("4.3 Codes of names")
    for kind, table, column in (("codec", CODECS, 1), ("bundle", BUNDLES, 2), ("task", TASKS, 3)):
        assert fields(wire) == kaitai_fields(f"{kind}_name")
        most = []
        for version, rows in (((1, 0), first[1:]), ((1, 1), [*first[1:], *added])):
            names = dict(enumerate(names_by_code(table, version)))
            del names[0]
            listed = {
                int(row[0]): row[column].strip("`") for row in rows if any(row[column : column + 1])
            }
            assert listed == names
            most.append(len(names))
        old, new = most
        limit = f"_root.has_codes_1_1 ? {new} : {old}" if new > old else old
        assert kaitai(f"{kind}_name")[0]["valid"]["max"] == limit
        value = KSY["types"][f"{kind}_name"]["instances"]["value"]["value"]
        coded = re.findall(r'code == (\d+) \? "(.*?)"', value)
        assert coded == [(str(code), name) for code, name in names.items()]
    assert set(CODECS) | set(BUNDLES) | set(TASKS) == {(1, 0), (1, 1)}
    assert KSY["instances"]["has_codes_1_1"]["value"] == "major == 1 and minor >= 1"


def test_hyper_latents() -> None:
    on_page = fields(tables("5.1 `HYPR`")[0])
    assert on_page == kaitai_fields("hyper", ("last_segment",))
    start = [*construct_fields(declared.HYPER_START), *construct_fields(declared.LENGTHS)]
    assert on_page == [*start, "segments"]


def test_layers() -> None:
    payload, tile = (fields(table) for table in tables("5.2 `LAYR`"))
    table = fields(tables("5.4 Tile table")[0])
    found = [entry["id"] for entry in kaitai("layer")]
    assert found == [*payload, "untiled"]
    assert payload[:1] == construct_fields(declared.LAYER_START)
    assert table == kaitai_fields("tile_entry")
    assert table == construct_fields(declared.TILES.tiles.subcon.subcon)
    assert tile == kaitai_fields("tile", ("last_segment",))
    assert construct_fields(declared.TILE_START) == ["mask"]  # its length
    assert construct_fields(declared.LENGTHS) == ["lengths"]


SIZED = {
    "head": ("4. `HEAD`", declared.HEADER),
    "group": ("4.1 Entry", declared.GROUP),
    "layer_entry": ("4.2 Entry", declared.LAYER),
    "tile_entry": ("5.4 Tile table", declared.TILES.tiles.subcon.subcon),
}


@pytest.mark.parametrize("name", SIZED)
def test_sizes_of_fields(name: str) -> None:
    heading, structure = SIZED[name]
    rows = tables(heading)[0]
    sizes = dict(zip(fields(rows), (row[0] for row in rows), strict=True))
    values = dict(zip(fields(rows), (row[2] for row in rows), strict=True))
    ours = {field.name: field.subcon for field in structure.subcons if field.name}
    for entry in kaitai(name):
        field, type_ = entry["id"], entry.get("type", f"u{entry.get('size')}")
        if re.fullmatch(r"u\d", type_):
            size = int(type_[1:])
            assert sizes[field] == (f"0 or {size}" if "if" in entry else str(size)), field
            assert width(ours[field]) == size, field
        elif type_ == "number" and field in ours:
            assert values[field].startswith("number"), field
            assert ours[field] is declared.Number, field


def width(subcon: Any) -> int | None:
    """Bytes of a field where they are always as many; those of a condition's where it holds."""
    if isinstance(subcon, c.IfThenElse):
        return width(subcon.thensubcon)
    try:
        size: int = subcon.sizeof()
        return size
    except c.SizeofError:
        return None


def test_kinds_of_masks() -> None:
    rows = {int(row[0]): row[1] for row in tables("6. Masks")[0]}
    assert rows == {int(kind): kind.name.lower() for kind in MaskKind}
    assert rows == KSY["enums"]["mask_kind"]


def test_segments() -> None:
    assert f"runs of {SEGMENT_SYMBOLS:,}" in PAGE
    instance = KSY["types"]["tile"]["instances"]["num_segments"]["value"]
    assert instance == f"(symbols + {SEGMENT_SYMBOLS - 1}) / {SEGMENT_SYMBOLS}"


def test_limits() -> None:
    limits = [row[1] for row in tables("10. What a reader does")[0]]
    numbers = [int(text.replace(",", "")) for text in limits if re.fullmatch(r"[\d,]+", text)]
    # In the order of their declaration; those of the picture's alpha are a formula.
    assert numbers == list(vars(DEFAULT_LIMITS).values())


def test_the_example() -> None:
    from icmhcodec import container
    from tests.formats.icm_kaitai import Icm

    block = re.search(r"## 13\. Example.*?```\n(.*?)```", PAGE, re.S)
    assert block
    lines = [re.split(r"\s{3,}(?=\D|$)", line.strip())[0] for line in block[1].splitlines()]
    data = bytes.fromhex(" ".join(re.match(r"([0-9a-f]{2}(\s+|$))+", line)[0] for line in lines))
    assert (
        container.parse(data).header.width == Icm.from_bytes(data).header.payload.width.value == 1
    )
