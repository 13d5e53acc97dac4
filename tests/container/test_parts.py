from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec.container import Chunk, inspect, join, parse, rest, split
from icmhcodec.errors import FormatError, UsageError
from tests.container.samples import LATER, MACHINE, SCALABLE, VERSIONS, Parts, files, of_version

BLOB = SCALABLE.build()
MACHINES = MACHINE.build()


@given(files(), st.data())
@settings(max_examples=80, deadline=None)
def test_split_and_rest_join_to_the_file(parts: Parts, data: st.DataObject) -> None:
    blob = parts.build()
    tasks = [layer.task for layer in parts.header.layers]
    chosen = data.draw(st.lists(st.sampled_from(tasks), unique=True))
    part, left = split(blob, chosen), rest(blob, chosen)
    assert join([part, left]) == join([left, part]) == blob
    assert join([blob, part, left]) == blob
    assert len(part) + len(left) == len(blob) + len(split(blob, []))
    if len(parts.header.groups) == 1:
        assert blob.startswith(part)


@given(files(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_single_chunks_join_in_any_order(parts: Parts, random: Random) -> None:
    """Every set of chunks is a part; joined step by step they are the file."""
    blob = parts.build()
    infos = inspect(blob)
    head = blob[: infos[1].offset]
    pieces = [head + blob[info.offset : info.offset + info.size] for info in infos[1:]]
    random.shuffle(pieces)
    half = len(pieces) // 2
    some = join(pieces[:half] or [head])
    assert len(parse(some).missing) > 0
    assert join([*pieces[half:], some]) == blob


def test_a_scalable_part_is_a_prefix_without_metadata() -> None:
    part = split(BLOB, ["det"])
    assert BLOB.startswith(part)
    assert [info.meaning for info in inspect(part)] == ["header", "hyper 0", "layer 0 det"]
    assert split(BLOB, ["human"]) == split(BLOB, ["det", "human"]) == BLOB
    assert split(part, ["det"]) == part


def test_a_machine_part_is_its_group() -> None:
    part = split(MACHINES, ["cls"])
    assert [info.meaning for info in inspect(part)] == ["header", "hyper 1", "layer 1 cls"]
    left = [info.meaning for info in inspect(rest(MACHINES, ["cls"]))]
    assert left == ["header", "hyper 0", "layer 0 det", "exif"]
    both = split(MACHINES, ["cls", "det"])
    assert MACHINES.startswith(both)
    assert join([part, split(MACHINES, ["det"])]) == both
    assert parse(both).missing == ("1 of 1 ancillary chunks",)


def test_unknown_ancillary_chunks_belong_to_the_next_critical_one() -> None:
    parts = replace(MACHINE, ancillary=(Chunk("prIv", b"x", 3),))
    part = split(parts.build(), ["cls"])
    assert [info.meaning for info in inspect(part)][1:] == ["unknown", "hyper 1", "layer 1 cls"]


def test_a_cut_file_joins_with_the_rest() -> None:
    """The download stopped amid the metadata run, which the rest has too."""
    cut = BLOB[: inspect(BLOB)[4].offset]
    assert join([cut, rest(BLOB, ["det"])]) == BLOB


@pytest.mark.parametrize("tasks", [["seg"], ["det", "seg"]])
def test_no_such_layer(tasks: list[str]) -> None:
    for cut in (split, rest):
        with pytest.raises(UsageError, match="no layer 'seg'; it has det, human"):
            cut(BLOB, tasks)


def test_a_layer_that_is_not_in_this_part() -> None:
    with pytest.raises(UsageError, match="lacks layer 1 human"):
        split(split(BLOB, ["det"]), ["human"])
    with pytest.raises(UsageError, match="lacks hyper 0, layer 0 det"):
        split(rest(BLOB, ["det"]), ["human"])


def test_parts_of_different_files() -> None:
    other = replace(SCALABLE, hyper={0: (b"other",)}).build()
    with pytest.raises(FormatError, match="part 2 is of another file"):
        join([split(BLOB, ["det"]), rest(other, ["det"])])
    with pytest.raises(UsageError, match="no parts"):
        join([])


def test_a_part_keeps_the_version_of_its_file() -> None:
    data = LATER.build()
    for blob in (data, *(of_version(data, version) for version in VERSIONS)):
        parts = split(blob, ["det"]), rest(blob, ["det"])
        assert {part[:10] for part in parts} == {blob[:10]}
        assert join(parts) == blob


@pytest.mark.parametrize("parts", [SCALABLE, LATER], ids=["same bytes", "other codes"])
def test_parts_of_different_versions(parts: Parts) -> None:
    blob = parts.build()
    older, newer = (of_version(blob, version) for version in ((1, 0), (1, 1)))
    with pytest.raises(FormatError, match="part 2 is of another file"):
        join([split(older, ["det"]), rest(newer, ["det"])])


def test_parts_that_do_not_agree() -> None:
    other = replace(SCALABLE, hyper={0: (b"HYPER0",)}).build()
    head, other_head = (blob[: inspect(blob)[1].offset] for blob in (BLOB, other))
    swapped = head + other[len(other_head) :]
    part = swapped[: inspect(other)[2].offset]
    with pytest.raises(FormatError, match="differ in the chunk at place 1"):
        join([split(BLOB, ["det"]), part])
    with pytest.raises(FormatError, match="file id"):
        join([part, head + BLOB[inspect(BLOB)[2].offset :]])


def test_damaged_parts_are_refused() -> None:
    broken = BLOB[:-1] + bytes([BLOB[-1] ^ 1])
    with pytest.raises(FormatError, match="CRC"):
        split(broken, ["det"])
    with pytest.raises(FormatError, match="CRC"):
        join([broken])


def test_an_empty_choice_is_the_header_alone() -> None:
    assert BLOB.startswith(split(BLOB, []))
    assert rest(BLOB, []) == BLOB
