from dataclasses import replace

import pytest

from icmhcodec.container import (
    Chunk,
    Group,
    Header,
    Layer,
    LayerData,
    Limits,
    MaskKind,
    Tile,
    build,
    overhead,
    parse,
    split,
)
from icmhcodec.errors import FormatError
from tests.container.samples import (
    CODEC,
    CODEC_1,
    DET,
    DET_1,
    EXIF,
    LATER,
    MACHINE,
    SCALABLE,
    Parts,
    det_layer,
    filled,
    header,
    human_layer,
)

KODAK = Parts(
    Header(
        768,
        512,
        3,
        8,
        (Group(CODEC, 1024, 4, 2**32 - 1),),
        (
            Layer(0, "det", 2, MaskKind.DERIVED, 2**32 - 1, 65_536, 2**32 - 1, DET, DET),
            Layer(0, "human", 0, MaskKind.FULL, 0, 229_376, 2**32 - 1),
        ),
    ),
    {0: (bytes(8000),)},
    {0: LayerData(b"", (bytes(40_000),)), 1: LayerData(b"", (bytes(20_000),) * 4)},
)


def test_a_file_byte_by_byte() -> None:
    """The example of formats/icm.md, section 13."""
    header = Header(
        1,
        2,
        1,
        8,
        (Group(CODEC, 0x0304, 5, 0x0A0B0C0D),),
        (human_layer(1, symbols_crc=0x01020304),),
    )
    data = build(header, {0: (b"hyperhyp",)}, {0: LayerData(b"", (b"segments",))})
    expected = (
        "89 49 43 4d 0d 0a 1a 0a 01 00"
        "48 45 41 44 00 2a  d3 a8 59 b4 38 31 24 a4  01 02 01 08 01 01 00"
        "01 01 00 01 02 03 04 05 06 07  04 03 05 0d 0c 0b 0a"
        "01 00 01 00 00 01 04 03 02 01  50 76 d6 ef"
        "48 59 50 52 01 0a  00 01 68 79 70 65 72 68 79 70  b4 02 95 60"
        "4c 41 59 52 02 09  00 73 65 67 6d 65 6e 74 73  b8 a8 a1 3d"
    )
    assert data == bytes.fromhex(expected)


def test_overhead_of_one_task_on_a_kodak_picture() -> None:
    data = KODAK.build()
    assert len(data) == 8000 + 40_000 + 80_000 + overhead(data)
    assert overhead(data) == 147


def test_overhead_of_one_task_with_the_names_of_version_1_1() -> None:
    (group,), (det, human) = KODAK.header.groups, KODAK.header.layers
    later = replace(
        KODAK.header,
        groups=(replace(group, codec=CODEC_1),),
        layers=(replace(det, predictor=DET_1, adapter=DET_1), human),
    )
    assert overhead(replace(KODAK, header=later).build()) == 147


def test_a_picture_has_the_lowest_version_with_codes_for_its_names() -> None:
    assert [parts.build()[8:10] for parts in (SCALABLE, MACHINE, LATER)] == [
        b"\1\0",
        b"\1\0",
        b"\1\1",
    ]


def test_tiles_byte_by_byte() -> None:
    tiles = (Tile(2, 0x01020304, b"", (b"one",)), Tile(0, 0, b"", ()))
    tiled = header(human_layer(2), width=128, tiles=(2, 1))
    data = build(tiled, {0: (b"hyper",)}, {0: LayerData(tiles=tiles)})
    table = bytes.fromhex("02 03 04 03 02 01  00 00 00 00 00 00")
    payload = b"\0" + table + b"one"
    assert data[:-4].endswith(b"LAYR\x02" + bytes([len(payload)]) + payload)


@pytest.mark.parametrize(
    ("tiles", "message"),
    [
        ((), "2x1 tiles"),
        ((Tile(5, 1, b"", (b"one",)),), "2x1 tiles"),
        ((Tile(4, 1, b"", (b"one",)), Tile(0, 0, b"", ())), "other symbols"),
        ((Tile(4, 1, b"", (b"one",)), Tile(1, 1, b"", ())), "0 segments"),
        ((Tile(4, 1, b"m", (b"one",)), Tile(1, 1, b"", (b"two",))), "mask bytes"),
        ((Tile(4, 1, b"", (b"one",)), Tile(1, 1, b"", (b"",))), "no symbols"),
        ((Tile(5, 1, b"", (b"one",)), Tile(0, 1, b"", ())), "no symbols"),
    ],
)
def test_tiles_that_do_not_fit_the_header(tiles: tuple[Tile, ...], message: str) -> None:
    tiled = header(human_layer(5), width=128, tiles=(2, 1))
    with pytest.raises(FormatError, match=message):
        build(tiled, {0: (b"hyper",)}, {0: LayerData(tiles=tiles)})


def test_tiles_of_an_untiled_picture_are_refused() -> None:
    data = LayerData(segments=(b"one",), tiles=(Tile(5, 1, b"", (b"one",)),))
    with pytest.raises(FormatError, match="not tiled"):
        build(header(human_layer(5)), {0: (b"hyper",)}, {0: data})
    with pytest.raises(FormatError, match="2x1 tiles"):
        build(header(human_layer(5), width=128, tiles=(2, 1)), {0: (b"h",)}, {0: data})


def test_metadata_is_no_overhead() -> None:
    assert overhead(replace(KODAK, ancillary=(EXIF,)).build()) == overhead(KODAK.build())


def test_the_same_input_gives_the_same_file_and_another_one_another_id() -> None:
    assert SCALABLE.build() == SCALABLE.build()
    other = replace(SCALABLE, hyper={0: (b"hyperO",)})
    assert parse(other.build()).header.file_id != parse(SCALABLE.build()).header.file_id


def test_metadata_stands_before_the_human_layer_and_after_all_others() -> None:
    for parts in (SCALABLE, MACHINE):
        tasks = [layer.task for layer in parts.header.layers if layer.task != "human"]
        assert EXIF.payload in parts.build()
        assert EXIF.payload not in split(parts.build(), tasks)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (replace(SCALABLE, hyper={}), "hyper-latent for each"),
        (replace(SCALABLE, hyper={0: ()}), "0 segments, but it can"),
        (replace(SCALABLE, layers={0: SCALABLE.layers[0]}), "each layer"),
        (replace(SCALABLE, layers={0: LayerData(b"", ()), 1: SCALABLE.layers[1]}), "0 segments"),
        (replace(SCALABLE, layers={0: LayerData(b"m", (b"",)), 1: SCALABLE.layers[1]}), "explicit"),
        (replace(SCALABLE, ancillary=(Chunk("aLPh", b""), EXIF)), "stands twice"),
        (replace(SCALABLE, ancillary=(Chunk("aLPh", b""),) * 2), "stands twice"),
        (filled(header(human_layer()), Chunk("PRIV", b"")), "not the type"),
        (filled(header(human_layer()), Chunk("priv", b"")), "not the type"),
        (filled(header(human_layer()), Chunk("pri", b"")), "not the type"),
        (filled(header(human_layer()), Chunk("prIv", b"", 9)), "cannot stand"),
        (filled(header(human_layer()), Chunk("prIv", b"", -1)), "cannot stand"),
        (filled(header(human_layer()), *[Chunk("prIv", b"", 1)] * 2), "cannot stand"),
        (filled(header(human_layer()), Chunk("prIv", b"", 3)), "stands twice or where"),
        (filled(header(human_layer()), replace(EXIF, place=1)), "stands twice or where"),
        (filled(header(human_layer(), det_layer())), "human"),
    ],
)
def test_what_is_not_written(parts: Parts, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parts.build()


def test_the_hyper_latent_has_no_more_segments_than_its_picture() -> None:
    with pytest.raises(FormatError, match="2 segments, but it can have 1 to 1"):
        replace(SCALABLE, hyper={0: (b"a", b"b")}).build()


def test_limits_can_be_raised() -> None:
    large = filled(header(human_layer(), width=20_000, height=20_000))
    with pytest.raises(FormatError, match="limit"):
        large.build()
    limits = Limits(pixels=400_000_000)
    data = build(large.header, large.hyper, large.layers, limits=limits)
    assert parse(data, limits=limits).header.width == 20_000
