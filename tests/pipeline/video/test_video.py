"""Frames through layers and back: exact symbols, bounded drift, layers that change nothing."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from icmhcodec.container.video import Reader, Writer
from icmhcodec.errors import FormatError, MissingWeightsError, UsageError
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.video import decode, encode
from icmhcodec.pipeline.video.plan import Options, make_header, make_plan
from tests.pipeline.conftest import BASE
from tests.pipeline.video.conftest import HEIGHT, WIDTH, clip, plan_of

BOTH = pytest.mark.parametrize("inter", ["dvc", "fvc"])
LAYERED = Options(tasks=("det", "seg:3"), gop=3, quality=8)


def encoded(networks, options, count=4):
    plan = plan_of(networks, options)
    return plan, list(encode.encode_frames(plan, clip(count)))


def symbols(plan, frames, layer):
    found = decode.integers_of(plan, frames, layer)
    return [{k: v.symbols[layer] for k, v in integers.items()} for _, integers in found]


def pictures(plan, frames, layer, **more):
    return [shown.pixels for shown in decode.decode_frames(plan, frames, layer, **more)]


def same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a)


@BOTH
def test_what_is_decoded_is_what_was_coded(networks, inter):
    plan, frames = encoded(networks, replace(LAYERED, inter=inter))
    assert [frame.intra for frame in frames] == [True, False, False, True]
    quantised = list(encode._quantised(plan, clip(4)))
    decoded = symbols(plan, frames, 2)
    for wanted, found in zip(quantised, decoded, strict=True):
        for name, latent in wanted.latents.items():
            assert torch.equal(found[name], latent.symbols * latent.coded)
            assert found[name].abs().max() > 1


@BOTH
def test_the_human_video_is_the_one_without_tasks(networks, inter):
    plain, alone = encoded(networks, Options(inter=inter, gop=3, quality=8))
    plan, layered = encoded(networks, replace(LAYERED, inter=inter))
    same(symbols(plan, layered, 2), symbols(plain, alone, 0))
    for a, b in zip(pictures(plan, layered, 2), pictures(plain, alone, 0), strict=True):
        assert np.array_equal(a, b)


def test_the_encoders_reference_is_what_the_decoder_shows(networks):
    plan, frames = encoded(networks, Options(gop=4))
    shown = pictures(plan, frames, 0)
    original = [picture.pixels.astype(float) for picture in clip(4)]
    errors = [np.square(a - b).mean() for a, b in zip(original, shown, strict=True)]
    assert max(errors) < 1.5 * errors[0]  # no frame is off by more than its own rounding
    assert shown[0].shape == (HEIGHT, WIDTH, 3)


def test_layers_are_nested_and_smaller(networks):
    plan, frames = encoded(networks, LAYERED)
    parts = [symbols(plan, frames, layer) for layer in range(3)]
    for first, second, whole in zip(*parts, strict=True):
        for name in first:
            kept = first[name] != 0
            assert torch.equal(second[name][kept], first[name][kept])
            assert (whole[name] != 0).sum() > (first[name] != 0).sum() > 0
    for frame in frames:
        for latent in frame.latents.values():
            assert sum(map(len, latent.layers[0].segments)) > 0


def test_masks_depend_on_the_symbols_before(networks):
    """The first P frame of a group has none before it, the second one has."""
    plan, frames = encoded(networks, LAYERED)
    alone = [frames[0], replace(frames[2], number=1)]  # as if the first P frame had not been
    with pytest.raises(FormatError):
        symbols(plan, alone, 2)


@BOTH
def test_symbols_are_exact_and_drift_is_bounded(networks, inter):
    plan, frames = encoded(networks, replace(LAYERED, inter=inter, gop=5), 5)
    wanted, shown = symbols(plan, frames, 2), pictures(plan, frames, 2)
    for threads, precision, most in ((2, "float32", 1e-3), (1, "bfloat16", 6.0)):
        torch.set_num_threads(threads)
        other = make_plan(Networks("cpu", precision), plan.header)
        same(symbols(other, frames, 2), wanted)
        for a, b in zip(pictures(other, frames, 2), shown, strict=True):
            assert np.square(a.astype(float) - b).mean() <= most


def test_masks_can_be_written(networks):
    options = replace(LAYERED, portable=True)
    plan, frames = encoded(networks, options)
    derived_plan, derived = encoded(networks, LAYERED)
    same(symbols(plan, frames, 1), symbols(derived_plan, derived, 1))
    without = make_plan(networks, plan.header)  # a decoder has no predictor
    assert all(p is None for part in without.parts.values() for p in part.predict)
    same(symbols(without, frames, 0), symbols(plan, frames, 0))


def test_a_task_has_its_own_chain_and_adapters_change_only_what_is_shown(networks):
    plan, frames = encoded(networks, replace(LAYERED, gop=4), 4)
    warnings: list[str] = []
    adapters = decode.adapters_of(networks, plan, 0, warnings)
    assert not warnings
    bare, adapted = pictures(plan, frames, 0), pictures(plan, frames, 0, adapters=adapters)
    human = pictures(plan, frames, 2)
    for a, b, c in zip(bare, adapted, human, strict=True):
        assert not np.array_equal(a, b)
        assert not np.array_equal(a, c)
    only_intra = replace(adapters, video=None)
    mixed = pictures(plan, frames, 0, adapters=only_intra)
    assert np.array_equal(mixed[0], adapted[0])
    assert all(np.array_equal(a, b) for a, b in zip(mixed[1:], bare[1:], strict=True))


def test_through_a_file_and_a_part_of_it(networks):
    plan, frames = encoded(networks, LAYERED)
    stream = io.BytesIO()
    writer = Writer(stream, plan.header)
    for frame in frames:
        writer.write_frame(frame)
    writer.close()
    stream.seek(0)
    reader = Reader(stream)
    read_plan = make_plan(networks, reader.header)
    read = list(reader)
    same(symbols(read_plan, read, 1), symbols(plan, frames, 1))
    first = [
        replace(
            frame,
            latents={k: replace(v, layers=v.layers[:1]) for k, v in frame.latents.items()},
            crcs=frame.crcs[:1],
        )
        for frame in read
    ]
    for a, b in zip(pictures(plan, first, 0), pictures(plan, frames, 0), strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(FormatError, match="not here"):
        symbols(plan, first, 1)
    assert decode.layer_of(plan.header, "seg", 3) == 1
    assert decode.layer_of(plan.header, None, 2) == 1
    with pytest.raises(FormatError, match="join"):
        decode.layer_of(plan.header, "human", 2)
    with pytest.raises(UsageError, match="no layer"):
        decode.layer_of(plan.header, "cls", 3)


def test_damaged_symbols_are_noticed(networks):
    plan, frames = encoded(networks, Options(gop=2), 2)
    for name in ("motion", "residual"):
        data = frames[1].latents[name]
        segment = bytearray(data.layers[0].segments[0])
        segment[-1] ^= 1
        layer = replace(data.layers[0], segments=(bytes(segment),))
        broken = replace(
            frames[1],
            latents={**frames[1].latents, name: replace(data, layers=(layer,))},
        )
        with pytest.raises(FormatError):
            symbols(plan, [frames[0], broken], 0)
    with pytest.raises(FormatError, match="no I frame"):
        pictures(plan, frames[1:], 0)


def test_all_frames_alone(networks):
    plan, frames = encoded(networks, Options(gop=1, tasks=("det",)), 2)
    assert plan.inter is None
    assert all(frame.intra for frame in frames)
    assert len(pictures(plan, frames, 1)) == 2


def test_options_that_cannot_be_are_refused(networks):
    for options, error in (
        (Options(quality=10), UsageError),
        (Options(gop=0), UsageError),
        (Options(skip=65), UsageError),
        (Options(with_human=False), UsageError),
        (Options(tasks=("det", "det:3")), UsageError),
        (Options(tasks=("human",)), UsageError),
        (Options(inter="ssf"), MissingWeightsError),
        (Options(tasks=("cls",)), MissingWeightsError),  # of pictures alone
    ):
        with pytest.raises(error):
            make_header(networks, BASE, options, 64, 64, time_base=1)
    plan = plan_of(networks, Options())
    other = replace(clip(1)[0], pixels=np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(UsageError, match="one size"):
        list(encode.encode_frames(plan, [*clip(1), other]))


def test_a_stream_is_read_as_it_is_needed(networks):
    plan = plan_of(networks, Options(gop=2))
    taken = 0

    def source():
        nonlocal taken
        for picture in clip(12):
            taken += 1
            yield picture

    frames = encode.encode_frames(plan, source())
    next(frames)
    frames.close()
    assert taken <= encode.AHEAD + 4
