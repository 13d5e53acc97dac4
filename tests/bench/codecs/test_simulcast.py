from __future__ import annotations

import numpy as np
import pytest

from icmhcodec.bench import codecs
from icmhcodec.bench.codecs import simulcast
from icmhcodec.bench.contract import HUMAN
from icmhcodec.errors import FormatError, UsageError

SPEC = "simulcast:webp@40+jpeg"


def test_both_streams_are_counted_for_people_and_one_for_the_machine(pixels):
    (both,) = codecs.create(SPEC, tasks=["det"])
    (machine,), (human,) = (codecs.create(s, tasks=["det"]) for s in ("webp@40", "jpeg"))
    assert (both.name, both.profile, both.views) == (SPEC, "simulcast", ("det", HUMAN))
    for first, second in zip(machine.points, human.points, strict=True):
        data = both.encode(pixels, second)
        streams = machine.encode(pixels, first), human.encode(pixels, second)
        assert both.cut(data, "det") == streams[0]
        assert 1 <= len(both.cut(data, HUMAN)) - sum(map(len, streams)) <= 3
    small, large = both.decode(streams[0], "det"), both.decode(data, HUMAN)
    assert small.shrunk
    assert not large.shrunk
    np.testing.assert_array_equal(small.pixels, machine.decode(streams[0], "det").pixels)
    np.testing.assert_array_equal(large.pixels, human.decode(streams[1], HUMAN).pixels)


def test_points_pair_from_the_first_to_the_last():
    (both,) = codecs.create("simulcast:jpeg@40+icmh", tasks=["det"])
    (machine,), (human,) = codecs.create("jpeg"), codecs.create("icmh")
    pairs = [pair.split("+") for pair in both.identity()["pairs"].split()]
    assert both.points == human.points
    assert float(pairs[0][0]) == machine.points[0]
    assert float(pairs[-1][0]) == machine.points[-1]
    assert len({pair[0] for pair in pairs}) == len(human.points) < len(machine.points)


def test_the_identity_has_both_codecs():
    (both,) = codecs.create(SPEC, tasks=["det"])
    assert {"machine libwebp", "machine shrunk", "human libjpeg-turbo"} <= both.identity().keys()


def test_a_point_without_a_pair_is_refused(pixels):
    with pytest.raises(UsageError, match="has no point 33"):
        codecs.create(SPEC, tasks=["det"])[0].encode(pixels, 33.0)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 70000])
def test_the_length_of_the_first_stream(size):
    first, second = b"m" * size, b"human"
    data = simulcast._varint(size) + first + second
    assert simulcast._parts(data) == (first, second)


@pytest.mark.parametrize("data", [b"", b"\x05abc", b"\xff\xff\xff\xff\xff\xff"])
def test_a_cut_file_is_refused(data):
    with pytest.raises(FormatError, match="cut short"):
        simulcast._parts(data)
