"""Clips through bytes: what is streamed, cut, damaged, turned, and kept within a rate."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import icmhcodec
from icmhcodec.codecs.video import registry
from icmhcodec.container import Reference
from icmhcodec.container.video import Frame, Reader, Writer
from icmhcodec.errors import FormatError, IcmhError, MissingWeightsError, UsageError
from icmhcodec.imageio.clip import ClipFrame, ClipInfo, ClipPacket
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.video import clip_decode, plan
from icmhcodec.pipeline.video.clip import header_fields, info_of
from icmhcodec.pipeline.video.clip_decode import DecodedClip
from icmhcodec.pipeline.video.decode import check_frames, integers_of
from icmhcodec.pipeline.video.plan import make_plan
from tests.pipeline.conftest import BASE
from tests.pipeline.video import conftest, mutations
from tests.pipeline.video.mutations import Good
from tests.pipeline.video.samples import (
    COUNT,
    HEIGHT,
    INFO,
    LAYERED,
    WIDTH,
    Made,
    borders,
    coded,
    decoded,
    same,
    taken,
    written,
)

SOME = settings(
    max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@lru_cache
def kept(folder: Path) -> Good:
    """For tests that hypothesis repeats: a coded clip and what is decoded of it."""
    return mutations.good()


def test_what_a_clip_says_of_itself_comes_back(networks: Networks) -> None:
    data, done = written(networks, LAYERED, Made())
    frames, packets, clip = decoded(networks, data)
    assert clip.info == INFO
    assert [frame.time for frame in frames] == [3003 * n for n in range(COUNT)]
    assert [p.data for p in packets] == [bytes([n, part]) for n in range(COUNT) for part in (0, 1)]
    assert [packet.time for packet in packets] == [800 * n - 800 for n in range(2 * COUNT)]
    assert (clip.layer, clip.warnings) == ("human", [])
    assert (done.frames, done.size, done.quality) == (COUNT, len(data), 8)
    assert done.sound == 2 * len(packets)
    assert sum(done.layers.values()) < done.size - done.sound


def test_sound_and_tags_may_be_left_out(networks: Networks) -> None:
    _, packets, clip = decoded(networks, coded(networks, sound=False, strip=True))
    assert (packets, clip.info.audio, clip.info.tags) == ([], (), {})


def test_frames_and_sound_stand_in_the_order_of_time(networks: Networks) -> None:
    items = [type(item).__name__ for item in Reader(io.BytesIO(coded(networks)))]
    assert items == ["Frame", *["AudioPacket"] * 4, "Frame", *["AudioPacket", "AudioPacket",
                     "Frame"] * 3]  # fmt: skip


def test_some_frames(networks: Networks) -> None:
    data = coded(networks)
    every = decoded(networks, data)[0]
    for frames in ((0, 2), (1, 4), (3, None), (4, 9)):
        some, packets, _ = decoded(networks, data, frames=frames)
        assert same(some, every[frames[0] : frames[1]])
        assert some[0].time == 0
        assert all(packet.time >= 0 for packet in packets)
    with pytest.raises(UsageError, match="it has 5 frames"):
        decoded(networks, data, frames=(5, None))
    with pytest.raises(UsageError, match="behind the last"):
        decoded(networks, data, frames=(2, 2))


def test_a_stream_is_read_as_frames_are_asked_for(networks: Networks) -> None:
    clip = Made(14)
    data, _ = written(networks, LAYERED, clip)
    stream = io.BytesIO(data)
    items = iter(DecodedClip(networks, stream))
    next(items)
    items.close()
    assert stream.tell() < len(data)


def test_turns_of_other_encoders(networks: Networks) -> None:
    data = coded(networks, sound=False)
    reader = Reader(io.BytesIO(data))
    stream = io.BytesIO()
    writer = Writer(stream, replace(reader.header, turns=1))
    for item in reader:
        assert isinstance(item, Frame)
        writer.write_frame(item)
    writer.close()
    upright, _, clip = decoded(networks, stream.getvalue())
    assert (clip.info.width, clip.info.height, clip.info.aspect) == (HEIGHT, WIDTH, Fraction(3, 4))
    first = decoded(networks, data)[0][0]
    assert np.array_equal(upright[0].pixels, np.rot90(first.pixels, -1))
    assert info_of(reader.header, INFO.tags) == replace(INFO, audio=())
    assert header_fields(INFO, sound=False)["audio"] == ()


def test_symbols_are_the_same_on_other_threads(networks: Networks) -> None:
    data = coded(networks)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        reader = Reader(io.BytesIO(data))
        plan = make_plan(networks, reader.header)
        frames = [item for item in reader if isinstance(item, Frame)]
        found.append([
            symbols
            for _, latents in integers_of(plan, frames, 1)
            for name in sorted(latents)
            for symbols in latents[name].symbols
        ])  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert len(found[0]) == 2 * (2 * 1 + 3 * 2)  # layers of I frames' latent and P frames' two


def test_a_rate_is_never_exceeded(networks: Networks) -> None:
    data, done = written(networks, replace(LAYERED, bpp=2), Made(12))
    assert done.met
    assert 1 < done.bpp <= 2  # half of so small a file are headers
    assert 0 < done.quality < 9
    assert done.size == len(data)
    reader = Reader(io.BytesIO(data))
    qualities = [frame.qualities for frame in reader if isinstance(frame, Frame)]
    assert qualities[:3] == [None] * 3  # the header says it
    assert len(decoded(networks, data)[0]) == 12


def test_a_rate_that_cannot_be_met(networks: Networks) -> None:
    _, done = written(networks, replace(LAYERED, bpp=0.01), Made())
    assert (done.met, done.quality) == (False, 0)
    for bpp in (float("nan"), float("inf"), 0.0):
        with pytest.raises(UsageError, match="finite"):
            written(networks, replace(LAYERED, bpp=bpp), Made())


def test_frames_of_one_time_are_refused(networks: Networks) -> None:
    class Still(Made):
        def __iter__(self) -> Iterator[ClipFrame | ClipPacket]:
            for item in super().__iter__():
                yield replace(item, time=0)

    with pytest.raises(IcmhError, match="frame 1 is shown no later"):
        written(networks, LAYERED, Still())

    class Empty(Made):
        def __iter__(self) -> Iterator[ClipFrame | ClipPacket]:
            return iter(())

    with pytest.raises(IcmhError, match="without frames"):
        written(networks, LAYERED, Empty())


def test_a_stream_cut_anywhere(folder: Path) -> None:
    good = kept(folder)
    data, places = good.data, borders(good.data)
    first = next(at for at in places if data[at : at + 4] == b"ILYR")
    for at in {*places[:-1], *range(first, len(data), 199)}:
        mutations.judge(good, data[:at])
        if at > places[places.index(first) + 1]:
            assert taken(good.networks, data[:at], partial=True).error is None


def test_frames_that_are_missing_at_the_end_are_told(folder: Path) -> None:
    good = kept(folder)
    places = borders(good.data)
    last = max(at for at in places[:-1] if good.data[at : at + 4] == b"PFRM")
    without = good.data[:last] + good.data[places[-2] :]
    for task in (None, "det"):
        frames, _, clip = decoded(good.networks, without, task=task)
        assert len(frames) == COUNT - 1
        assert clip.warnings == ["its end is missing: 4 of 5 frames are here"]


@SOME
@given(seed=st.integers(0, 1 << 32), chunks=st.booleans())
def test_mutations_are_noticed_or_do_no_harm(folder: Path, seed: int, chunks: bool) -> None:
    good, rng = kept(folder), np.random.default_rng(seed)
    change = mutations.without_chunks if chunks else mutations.mutated
    mutations.judge(good, change(rng, good.data))


@SOME
@given(seed=st.integers(0, 1 << 32))
def test_mutations_with_right_checksums_are_noticed(folder: Path, seed: int) -> None:
    good = kept(folder)
    mutations.judge_sealed(good, *mutations.sealed(np.random.default_rng(seed), good.data))


def test_a_codec_is_built_once(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = registry.build
    monkeypatch.setattr(registry, "build", lambda *given: built.append(given) or build(*given))
    plan._referred.cache_clear()
    data = coded(networks)
    decoded(networks, data)
    assert len(built) == 1


def test_all_layers_are_checked(networks: Networks) -> None:
    data = coded(networks)
    counted: list[int] = []
    assert check_frames(networks, io.BytesIO(data), counted.append) == []
    assert sum(counted) == COUNT
    reader = Reader(io.BytesIO(data))
    stream = io.BytesIO()
    writer = Writer(stream, reader.header)
    for item in reader:
        if isinstance(item, Frame):
            wrong = item.number in (1, 4)
            crcs = (item.crcs[0], item.crcs[1] ^ wrong)
            writer.write_frame(replace(item, crcs=crcs))
    writer.close()
    said = check_frames(networks, io.BytesIO(stream.getvalue()))
    assert [line.partition(",")[0] for line in said] == ["frame 1", "frame 4"]


def test_in_python(tmp_path: Path) -> None:
    from icmhcodec.imageio.clip_write import ClipWriter

    info = ClipInfo(WIDTH, HEIGHT, Fraction(1, 10), Fraction(10))
    with ClipWriter(tmp_path / "clip.y4m", info) as writer:
        for number, picture in enumerate(conftest.clip(3)):
            writer.write_frame(np.ascontiguousarray(picture.pixels[:HEIGHT, :WIDTH]), number)
    target = tmp_path / "clip.icm"
    counted: list[int] = []
    done = icmhcodec.encode_clip(
        tmp_path / "clip.y4m", target, base=BASE, gop=2, fps=5, advance=counted.append
    )
    assert (done.frames, sum(counted)) == (2, 2)
    clip = icmhcodec.decode_clip(target, tmp_path / "seen.mkv", codec="ffv1")
    assert (clip.layer, clip.info.rate) == ("human", 5)
    codec = icmhcodec.Codec(BASE)
    with target.open("rb") as stream:
        shapes = [item.pixels.shape for item in codec.open_clip(stream, human=True)]
    assert shapes == [(HEIGHT, WIDTH, 3)] * 2
    with pytest.raises(UsageError, match="exists"):
        icmhcodec.decode_clip(target, tmp_path / "seen.mkv")
    with pytest.raises(UsageError, match="No such file"):
        icmhcodec.decode_clip(tmp_path / "none.icm", tmp_path / "x.mkv")
    with pytest.raises(UsageError, match="one layer"):
        icmhcodec.decode_clip(target, tmp_path / "x.mkv", task="det", human=True)


def test_a_layer_is_decoded_without_the_predictors_of_others(
    networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = coded(networks, replace(LAYERED, tasks=("det", "seg")))
    expected, _, _ = decoded(networks, data, task="det")
    original = plan._predictors

    def lacking(reference: Reference, device: torch.device) -> object:
        if reference.id.startswith("seg"):
            raise MissingWeightsError(f"predictor {reference.id} is not here")
        return original(reference, device)

    monkeypatch.setattr(plan, "_predictors", lacking)
    assert same(decoded(networks, data, task="det")[0], expected)
    with pytest.raises(MissingWeightsError, match="predictor seg-"):
        decoded(networks, data, task="seg")


def test_sound_that_waits_for_a_frame_is_bounded(
    networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = coded(networks)
    held = 4 * (clip_decode.PACKET_BYTES + 2)  # the packets of two frames
    monkeypatch.setattr(clip_decode, "MOST_WAITING", held)
    assert len(decoded(networks, data)[0]) == COUNT
    monkeypatch.setattr(clip_decode, "MOST_WAITING", held - 1)
    with pytest.raises(FormatError, match="bytes of sound without a frame"):
        decoded(networks, data)
