from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec.container import VERSION, Group, Header, Layer, Limits, MaskKind, Reference
from icmhcodec.container.header import (
    check_header,
    pack_header,
    unpack_header,
    version_to_write,
)
from icmhcodec.container.limits import DEFAULT_LIMITS
from icmhcodec.errors import FormatError
from tests.container.samples import (
    CODEC,
    CODEC_1,
    DET,
    DET_1,
    GROUP,
    LATER,
    MACHINE,
    SCALABLE,
    VERSIONS,
    Parts,
    det_layer,
    files,
    header,
    human_layer,
)


@given(files(), st.sampled_from(VERSIONS))
@settings(deadline=None)
def test_round_trip(parts: Parts, version: tuple[int, int]) -> None:
    payload = pack_header(parts.header, version)
    assert unpack_header(payload, version, DEFAULT_LIMITS) == parts.header


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({}, (1, 0)),
        ({"codec": Reference("det-1", bytes(8))}, (1, 0)),  # no codec has a code by that name
        ({"codec": CODEC_1}, (1, 1)),
        ({"predictor": DET_1}, (1, 1)),
        ({"adapter": DET_1}, (1, 1)),
        ({"task": "det-1"}, (1, 0)),
    ],
)
def test_the_version_is_the_lowest_with_all_codes(
    changes: dict[str, Any], version: tuple[int, int]
) -> None:
    codec = changes.pop("codec", CODEC)
    groups = (replace(GROUP, codec=codec),)
    wanted = header(det_layer(**changes), human_layer(), groups=groups)
    assert version_to_write(wanted) == version


def test_codes_of_version_1_1() -> None:
    later = LATER.header
    coded, spelled = (pack_header(later, version) for version in ((1, 1), (1, 0)))
    old = pack_header(SCALABLE.header, VERSION)
    differing = [new for new, other in zip(coded, old, strict=True) if new != other]
    assert differing == [5, 2, 2]
    assert spelled == coded.replace(b"\5" + CODEC.fingerprint, _spelled(CODEC_1)).replace(
        b"\2" + DET.fingerprint, _spelled(DET_1)
    )
    for version in ((0, 1), (1, 0)):
        assert unpack_header(spelled, version, DEFAULT_LIMITS) == later
        with pytest.raises(FormatError, match="codec code 5 is not known"):
            unpack_header(coded, version, DEFAULT_LIMITS)
    for version in ((1, 1), (1, 2)):
        assert unpack_header(coded, version, DEFAULT_LIMITS) == later
        with pytest.raises(FormatError, match="codec 'mbt2018-mean-gain-1' is spelled out"):
            unpack_header(spelled, version, DEFAULT_LIMITS)


def _spelled(reference: Reference) -> bytes:
    return b"\0" + bytes([len(reference.id)]) + reference.id.encode() + reference.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "empty"),
        ({"height": 0}, "empty"),
        ({"width": 20_000, "height": 20_000}, "limit"),
        ({"width": 2_000_000, "height": 1}, "limit"),
        ({"channels": 0}, "channels"),
        ({"channels": 5}, "channels"),
        ({"depth": 12}, "depth"),
        ({"tiles": (3, 1)}, "does not fit"),
        ({"tiles": (0, 1)}, "does not fit"),
        ({"tiles": (1, 2)}, "does not fit"),
        ({"tiles": (2**32 - 1, 2**32 - 1)}, "does not fit"),
        ({"width": 5120, "tiles": (79, 1)}, "does not fit"),
        ({"width": 8192, "height": 8192, "tiles": (128, 128)}, "limit of 4096"),
        ({"groups": ()}, "no groups"),
        ({"layers": ()}, "no layers"),
        ({"groups": (GROUP, GROUP)}, "group without a layer"),
        ({"groups": (GROUP,) * 17}, "limit of 16"),
        ({"ancillary": 2000}, "limit of 1024"),
        ({"file_id": b"1"}, "8 bytes"),
    ],
)
def test_wrong_headers(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        check_header(replace(SCALABLE.header, **change), DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quality": 2305}, "quality"),
        ({"skip": 65}, "skip"),
        ({"hyper_crc": 2**32}, "CRC"),
        ({"hyper_crc": -1}, "CRC"),
        ({"codec": Reference("Big", bytes(8))}, "name"),
        ({"codec": Reference("small", bytes(7))}, "fingerprint"),
    ],
)
def test_wrong_groups(change: dict[str, Any], message: str) -> None:
    groups = (replace(GROUP, **change),)
    with pytest.raises(FormatError, match=message):
        check_header(replace(SCALABLE.header, groups=groups), DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([human_layer(), human_layer()], "two layers"),
        ([human_layer(), det_layer()], "not the last"),
        ([det_layer(), det_layer(level=3)], "two layers"),
        ([det_layer(group=1)], "without its group"),
        ([det_layer(group=1), human_layer()], "sorted"),
        ([det_layer(predictor=None)], "no predictor"),
        ([det_layer(mask=MaskKind.EXPLICIT)], "no derived mask"),
        ([det_layer(mask=MaskKind.FULL, predictor=None)], "mask CRC"),
        ([det_layer(mask=MaskKind.EMPTY, predictor=None, mask_crc=0)], "with symbols"),
        ([det_layer(symbols=0)], "CRC of them"),
        ([det_layer(symbols=-1)], "negative"),
        ([det_layer(symbols=1024 * 8 * 4 + 1)], "more symbols"),
        ([det_layer(symbols=1024 * 8 * 4), human_layer()], "more symbols"),
        ([det_layer(level=256)], "level"),
        ([det_layer(task="De")], "task name"),
        ([det_layer(adapter=replace(DET, id="a..b"))], "name"),
        ([human_layer(adapter=DET)], "no adapter"),
        ([human_layer(level=1)], "level 0"),
        ([human_layer(mask=MaskKind.EXPLICIT)], "full"),
        ([det_layer(task=f"t{n}", symbols=0, symbols_crc=0) for n in range(65)], "limit of 64"),
    ],
)
def test_wrong_layer_tables(layers: list[Layer], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        check_header(header(*layers), DEFAULT_LIMITS)


def test_limits_can_be_raised() -> None:
    large = header(human_layer(), width=20_000, height=20_000)
    check_header(large, Limits(pixels=400_000_000))


@pytest.mark.parametrize("spelled", [b"\x00\x05human", b"\x00\x03det"])
def test_a_name_with_a_code_must_be_the_code(spelled: bytes) -> None:
    name = spelled[2:].decode()
    layers = {"human": human_layer(), "det": det_layer()}
    other = replace(layers[name], task="zz", mask=MaskKind.FULL, level=0, adapter=None)
    other = replace(other, mask_crc=0, predictor=None)
    payload = pack_header(header(other), VERSION)
    with pytest.raises(FormatError, match=r"spelled out|not a valid"):
        unpack_header(payload.replace(b"\x00\x02zz", spelled), VERSION, DEFAULT_LIMITS)


def test_bytes_after_the_header_are_refused() -> None:
    with pytest.raises(FormatError, match="follow"):
        unpack_header(pack_header(SCALABLE.header, VERSION) + b"\0", VERSION, DEFAULT_LIMITS)


def test_profiles() -> None:
    full: dict[str, Any] = {"mask": MaskKind.FULL, "mask_crc": 0, "predictor": None}
    assert header(human_layer()).profile == "plain"
    assert SCALABLE.header.profile == "scalable"
    assert header(det_layer()).profile == "machine"
    assert header(det_layer(**full)).profile == "machine"
    assert MACHINE.header.profile == "machine"
    assert header(det_layer(**full), human_layer(group=1)).profile == "simulcast"
    seg = det_layer(task="seg", **full)
    assert header(det_layer(**full), seg, human_layer(group=1)).profile == "mixed"


def test_overhead_of_common_headers_is_small() -> None:
    group = Group(CODEC, 1024, 4, 1)
    det = Layer(0, "det", 2, MaskKind.DERIVED, 1, 60_000, 1, DET, DET)
    human = Layer(0, "human", 0, MaskKind.FULL, 0, 230_000, 1)
    assert len(pack_header(Header(768, 512, 3, 8, (group,), (det, human)), VERSION)) == 79


def test_layers_by_task_and_their_segments() -> None:
    assert [SCALABLE.header.layer_of(task) for task in ("det", "human", "seg")] == [0, 1, None]
    counts = [human_layer(n).segments for n in (0, 1, 65_536, 65_537)]
    assert counts == [0, 1, 1, 2]
