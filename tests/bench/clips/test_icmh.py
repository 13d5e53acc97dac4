from __future__ import annotations

import io

import numpy as np
import pytest

from icmhcodec.bench.clips import codecs
from icmhcodec.bench.clips.measure import psnr
from icmhcodec.bench.contract import Clips
from icmhcodec.container.video import Reader, inspect
from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.video.encode import Picture, encode_frames
from icmhcodec.pipeline.video.plan import Options, make_header, make_plan
from tests.pipeline.video.conftest import folder, models  # noqa: F401
from tests.threads import one_thread  # noqa: F401

from . import moving

CLIPS = Clips(gop=3)


def create(spec, tasks=()):
    return codecs.create(spec, CLIPS, tasks=tasks)


def test_the_file_is_what_the_pipeline_writes(tmp_path):
    [codec] = create("icmh:test-tiny")
    assert (codec.name, codec.profile, codec.views) == ("icmh:test-tiny", "plain", ("human",))
    shown = moving.frames(4)
    codec.encode(iter(shown), moving.info(), 6.0, tmp_path / "coded")
    assert codec.cut(tmp_path / "coded", "human", tmp_path / "part") == tmp_path / "coded"
    data = (tmp_path / "coded").read_bytes()
    found = inspect(io.BytesIO(data))
    assert (found.frames, found.groups, found.complete) == (4, 2, True)
    networks = Networks("cpu", "auto")
    clip = {"time_base": 1 / moving.RATE, "rate": moving.RATE}
    header = make_header(networks, "test-tiny", Options(quality=6, gop=3), 64, 48, **clip)
    pictures = [Picture(number, pixels) for number, pixels in enumerate(shown)]
    wanted = list(encode_frames(make_plan(networks, header), pictures))
    for own, other in zip(wanted, Reader(io.BytesIO(data)), strict=True):
        assert own.latents == other.latents
    decoded = list(codec.decode(tmp_path / "coded", "human", moving.info()))
    assert [frame.shape for frame in decoded] == [(48, 64, 3)] * 4


def test_all_intra_has_i_frames_alone_and_needs_no_video_codec(tmp_path, monkeypatch):
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "none"))
    [codec] = create("all-intra:test-tiny")
    codec.encode(iter(moving.frames(3)), moving.info(), 9.0, tmp_path / "coded")
    assert inspect(io.BytesIO((tmp_path / "coded").read_bytes())).groups == 3
    assert "inter" not in codec.identity()
    with pytest.raises(MissingWeightsError, match="no video codec is here; train one"):
        create("icmh")
    assert codecs.available(CLIPS) == ["x264", "x265", "svt-av1", "all-intra"]


def test_a_tasks_view_is_its_part_of_the_file(tmp_path):
    plain, layered = create("icmh:test-tiny", ["det", "none"])
    assert (plain.profile, layered.profile) == ("plain", "scalable")
    assert layered.views == ("det", "human")
    shown = moving.frames(4)
    layered.encode(iter(shown), moving.info(), 8.0, tmp_path / "coded")
    part = layered.cut(tmp_path / "coded", "det", tmp_path / "part")
    assert 0 < part.stat().st_size < (tmp_path / "coded").stat().st_size
    det = list(layered.decode(part, "det", moving.info()))
    human = list(layered.decode(tmp_path / "coded", "human", moving.info()))
    assert len(det) == len(human) == 4
    assert not np.array_equal(det[1], human[1])
    plain.encode(iter(shown), moving.info(), 8.0, tmp_path / "plain")
    alone = list(plain.decode(tmp_path / "plain", "human", moving.info()))
    assert min(map(psnr, alone, human)) > 50  # but for rounding


def test_identity_names_all_weights_and_the_gop():
    plain, layered = create("icmh:test-tiny:dvc", ["det"])
    assert plain.name == "icmh:test-tiny:dvc"
    assert plain.identity()["inter"].startswith("tiny-dvc-0 ")
    assert plain.identity()["gop"] == "3"
    assert {"det predictor 0", "det predictor 1", "det adapter 2"} <= set(layered.identity())
    [fvc] = create("icmh:test-tiny:fvc:plain", ["det"])
    assert fvc.identity()["inter"].startswith("tiny-fvc-0 ")


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("icmh:dvc:fvc", UsageError, "at most one base"),
        ("all-intra:dvc", MissingWeightsError, "dvc"),
        ("icmh:none", MissingWeightsError, "none"),
        ("icmh:test-tiny:scalable", MissingWeightsError, "no bundles for no task"),
        ("jpeg", UsageError, "not known for clips; known are x264"),
        ("x264:fast", UsageError, "not known for clips"),
    ],
)
def test_specs_that_cannot_be_used(spec, error, message):
    with pytest.raises(error, match=message):
        create(spec)
