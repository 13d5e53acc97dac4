"""Runs over clips: what `test_engine.py` says of pictures holds, and each codec is a task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from icmhcodec.bench import cache as caching
from icmhcodec.bench import engine, summary
from icmhcodec.bench.cache import Cache
from icmhcodec.bench.contract import Clips, Dataset, Sample
from icmhcodec.bench.engine import Failure
from icmhcodec.pipeline import jobs

from .clips import moving
from .test_engine import untimed


@pytest.fixture
def clips(tmp_path: Path) -> tuple[Sample, ...]:
    return moving.samples(tmp_path)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with closing(Cache(tmp_path / "cache")) as cache:
        yield cache


def test_every_clip_has_every_point_in_order(clips: tuple[Sample, ...]) -> None:
    observations, failures = engine.run(moving.shelves(), clips)
    one = [
        ("original", 0.0),
        ("shelf/plain/human", 2.0),
        ("shelf/plain/human", 4.0),
        ("other/plain/human", 3.0),
    ]
    found = [(one.sample, one.curve, one.point) for one in observations]
    assert found == [(sample.name, *row) for sample in clips for row in one]
    assert not failures


def test_workers_have_a_codec_of_a_clip_each(clips: tuple[Sample, ...]) -> None:
    alone, _ = engine.run(moving.shelves(), clips)
    start = partial(engine.start, moving.shelves, moving.shelves().identity())
    given: list[Any] = []

    def spread(tasks: Any) -> Any:
        given.extend(tasks)
        return jobs.run(tasks, start=start, jobs=2)

    together, failures = engine.run(moving.shelves(), clips, spread=spread)
    assert untimed(together) == untimed(alone)
    assert not failures
    assert [len(task.steps) for task in given] == [1, 2, 1] * 2


def test_what_is_known_is_not_measured_again(clips: tuple[Sample, ...], cache: Cache) -> None:
    codec = moving.Shelf()
    first, _ = engine.run(moving.bench(codec), clips, cache=cache, points={"shelf": [2]})
    second, _ = engine.run(moving.bench(codec), clips, cache=cache)
    assert codec.calls == ["encode", "decode"] * 4  # two points of two clips, each once
    assert [one for one in second if one.point in (0, 2)] == first
    for other in (Clips(frames=3), Clips(gop=3)):
        engine.run(moving.bench(codec, clips=other), clips, cache=cache)
    assert codec.calls == ["encode", "decode"] * 12


def test_a_codec_or_clip_that_fails_is_left_out(clips: tuple[Sample, ...]) -> None:
    observations, failures = engine.run(moving.bench(moving.Shelf(refuses=[5])), clips)
    assert failures == [Failure("0.mkv", "shelf/plain", "at 2: 5 frames are refused")]
    assert {one.sample for one in observations} == {"1.mkv"}
    clips[0].path.write_bytes(clips[0].path.read_bytes()[:300])
    observations, failures = engine.run(moving.bench(moving.Shelf()), clips)
    assert [(one.sample, one.codec) for one in failures] == [("0.mkv", None)]
    assert {one.sample for one in observations} == {"1.mkv"}


def test_masks_and_frames_of_folders_decide_the_key(tmp_path: Path, cache: Cache) -> None:
    frames = moving.write_folder(tmp_path / "bear", moving.frames(2))
    mask = moving.write_folder(tmp_path / "masks", moving.frames(1)) / "00000.png"
    sample, codec = Sample("bear", frames, {"det": [mask, None]}), moving.Shelf(points=(3.0,))
    bench = moving.bench(codec, network=moving.Brightness())
    before = caching.digest(frames)
    for changed in (frames / "00001.png", mask):
        for _ in range(2):
            engine.run(bench, [sample], cache=cache)
        moving.write_folder(tmp_path / f"new-{changed.parent.name}", moving.frames(1, seed=2))
        changed.write_bytes((tmp_path / f"new-{changed.parent.name}" / "00000.png").read_bytes())
    engine.run(bench, [sample], cache=cache)
    assert len(codec.calls) == 2 * 3
    assert caching.digest(frames) != before


def test_the_report_counts_clips_and_frames_per_second(clips: tuple[Sample, ...]) -> None:
    bench = moving.shelves()
    observations, _ = engine.run(bench, clips)
    timed = [replace(one, encode_s=one.frames / 10, decode_s=2.0) for one in observations]
    report = summary.summarise(
        timed,
        dataset=Dataset("moving", "clips", clips),
        network=bench.network,
        command="icmh bench moving",
        failures=[],
        resamples=5,
    )
    Draft202012Validator(json.loads(summary.SCHEMA_FILE.read_text())).validate(report)
    assert (report["dataset"]["clips"], report["dataset"]["images"]) == (2, 11)
    row = next(row for row in report["rows"] if row["curve"] == "shelf/plain/human")
    assert row["encode_fps"] == pytest.approx(10)
    assert row["decode_fps"] == pytest.approx(11 / 4)
    assert row["encode_s"] == pytest.approx(0.1)
    assert row["bpp"] == 24
    assert set(row["metrics"]) == {"agreement", "psnr"}
    assert report["rows"][0]["metrics"] == {"agreement": 100}
