import io

from icmhcodec.container.video import inspect
from tests.container.video.samples import clip
from tests.container.video.test_read import chunks

BLOB = clip().build()


def test_every_byte_is_counted() -> None:
    found = inspect(io.BytesIO(BLOB))
    assert (found.frames, found.groups, found.packets) == (10, 3, 5)
    assert found.size == len(BLOB)
    assert found.layers == [10, 10]
    assert found.bytes["det intra"] == found.bytes["human intra"] == 3 * 8
    assert found.bytes["hyper motion"] == found.bytes["det residual"] == 7 * 8
    assert found.bytes["metadata"] == len(b"profile") + len(b"private")
    payloads = sum(len(c.payload) for c in chunks(BLOB) if c.type == "aUDi")
    assert 0 < found.bytes["audio"] < payloads
    assert found.overhead == len(BLOB) - sum(found.bytes.values())
    assert found.complete
    assert found.missing == ()


def test_damage_is_listed() -> None:
    chunk = next(c for c in chunks(BLOB) if c.type == "PLYR")
    blob = bytearray(BLOB)
    blob[chunk.offset + 14] ^= 1
    found = inspect(io.BytesIO(bytes(blob)), partial=True)
    assert found.layers == [10, 9]
    assert found.missing == ("layer 1 human of 1 frames",)
    assert len(found.damage) == 1
    assert not found.complete


def test_a_stream_that_was_cut_off() -> None:
    found = inspect(io.BytesIO(BLOB[: chunks(BLOB)[-1].offset]))
    assert found.missing == ("the index",)
