from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from icmhcodec.bench import engine
from icmhcodec.bench.cache import Cache
from icmhcodec.bench.contract import Observation, Sample
from icmhcodec.bench.engine import Failure
from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.pipeline import jobs

from . import fakes

TIMES = {"encode_s": 0.0, "decode_s": 0.0, "peak_mb": 0.0}


def untimed(observations: list[Observation]) -> list[Observation]:
    return [replace(one, **TIMES) for one in observations]


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Sample, ...]:
    return fakes.samples(tmp_path)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with closing(Cache(tmp_path / "cache")) as cache:
        yield cache


def test_every_picture_has_every_point_in_order(pictures: tuple[Sample, ...]) -> None:
    observations, failures = engine.run(fakes.two_codecs(), pictures)
    one = [
        ("original", 0.0),
        ("palette/scalable/det", 1.0),
        ("palette/scalable/human", 1.0),
        ("palette/scalable/det", 3.0),
        ("palette/scalable/human", 3.0),
        ("other/plain/human", 1.0),
        ("other/plain/human", 3.0),
    ]
    found = [(one.sample, one.curve, one.point) for one in observations]
    assert found == [(sample.name, *row) for sample in pictures for row in one]
    assert not failures
    json.dumps([asdict(one) for one in observations])


def test_points_can_be_given_by_name(pictures: tuple[Sample, ...]) -> None:
    observations, _ = engine.run(fakes.two_codecs(), pictures, points={"other": [5, 2]})
    assert {one.point for one in observations if one.curve.startswith("other")} == {5.0, 2.0}
    assert {one.point for one in observations if one.curve.startswith("palette")} == {1.0, 3.0}


def test_a_picture_is_seen_once_for_all_codecs(pictures: tuple[Sample, ...]) -> None:
    bench = fakes.two_codecs()
    engine.run(bench, pictures)
    assert isinstance(bench.network, fakes.Brightness)
    assert Counter(bench.network.seen)[(30, 40, 3)] == 1 + 2 + 2  # the original and full decodes


def test_workers_give_the_same(pictures: tuple[Sample, ...], cache: Cache) -> None:
    alone, _ = engine.run(fakes.two_codecs(), pictures)
    start = partial(engine.start, fakes.two_codecs, fakes.two_codecs().identity())
    spread = partial(jobs.run, start=start, jobs=2)
    together, failures = engine.run(fakes.two_codecs(), pictures, cache=cache, spread=spread)
    assert untimed(together) == untimed(alone)
    assert not failures


def test_a_worker_of_another_version_is_refused() -> None:
    identity = fakes.two_codecs().identity()
    engine.start(fakes.two_codecs, identity)
    identity["codecs"]["other/plain"]["views"] = "det"
    with pytest.raises(IcmhError, match="has codecs other/plain views: human, the command det;"):
        engine.start(fakes.two_codecs, identity)


def codecs_of(bench: engine.Bench) -> list[fakes.Palette]:
    return [codec for codec in bench.codecs.values() if isinstance(codec, fakes.Palette)]


def test_a_second_run_calls_no_codec(pictures: tuple[Sample, ...], cache: Cache) -> None:
    first, _ = engine.run(fakes.two_codecs(), pictures, cache=cache)
    bench = fakes.two_codecs()
    second, _ = engine.run(bench, pictures, cache=cache)
    assert second == first  # times too: they are those of the measurement
    assert [codec.calls for codec in codecs_of(bench)] == [[], []]
    assert isinstance(bench.network, fakes.Brightness)
    assert bench.network.seen == []


def test_an_interrupted_run_goes_on(pictures: tuple[Sample, ...], cache: Cache) -> None:
    left_alone, _ = engine.run(fakes.two_codecs(), pictures)
    done = 0

    def interrupt(label: str, count: int) -> None:
        nonlocal done
        done += count
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.run(fakes.two_codecs(), pictures, cache=cache, progress=interrupt)
    bench = fakes.two_codecs()
    resumed, _ = engine.run(bench, pictures, cache=cache)
    assert untimed(resumed) == untimed(left_alone)
    encoded = [call for codec in codecs_of(bench) for call in codec.calls if call == "encode"]
    assert len(encoded) == 12 - 5  # of the 7 steps done two are originals


def change_picture(bench: engine.Bench, samples: list[Sample]) -> None:
    samples[0].path.write_bytes(samples[1].path.read_bytes())


def change_truth(bench: engine.Bench, samples: list[Sample]) -> None:
    samples[0] = replace(samples[0], truths={"det": []})


def change_network(bench: engine.Bench, samples: list[Sample]) -> None:
    assert isinstance(bench.network, fakes.Brightness)
    bench.network.fingerprint = "f" * 16


def change_codec(bench: engine.Bench, samples: list[Sample]) -> None:
    codecs_of(bench)[1].views = ("det", "human")


def test_versions_and_the_device_decide(
    pictures: tuple[Sample, ...], cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encodings(bench: engine.Bench) -> int:
        engine.run(bench, pictures, cache=cache)
        return sum(codec.calls.count("encode") for codec in codecs_of(bench))

    assert encodings(fakes.two_codecs()) == 12
    assert encodings(fakes.two_codecs()) == 0
    assert encodings(replace(fakes.two_codecs(), device="cuda")) == 12
    monkeypatch.setattr("icmhcodec.bench.cache.version", lambda package: f"newer {package}")
    assert encodings(fakes.two_codecs()) == 12


class Movable(fakes.Brightness):
    def to(self, device: str) -> Movable:
        return self


def test_the_usual_baselines_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Movable()
    monkeypatch.setattr(engine, "load_network", lambda name: network)
    monkeypatch.setattr(engine.codecs, "available", lambda: ["icmh", "jpeg", "webp"])
    monkeypatch.setattr(
        engine.codecs,
        "create",
        lambda spec, **_: [fakes.Palette(spec, "plain")],
    )
    plain = ("icmh", "jpeg", "webp")
    more = ("icmh@net", "jpeg@net", "simulcast:icmh@net+icmh")
    assert engine.prepare(None).specs == plain
    assert engine.prepare(None, "det").specs == plain + more
    assert [codec.name for codec in engine.prepare(None, "det").codecs.values()] == [*plain, *more]
    assert engine.prepare(["webp"], "det").specs == ("webp",)
    network.side = 0  # any size
    assert engine.prepare(None, "det").specs == plain
    monkeypatch.setattr(engine.codecs, "available", lambda: ["avif"])
    network.side = 32
    assert engine.prepare(None, "det").specs == ("avif", "avif@net")


def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "load_network", lambda name: Movable())
    with pytest.raises(UsageError, match="device 'cuda:99': torch cannot use it here"):
        engine.prepare(["jpeg"], "det", device="cuda:99")


def test_a_profile_that_no_codec_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "load_network", lambda name: Movable())
    with pytest.raises(UsageError, match="--profile machine: it needs a task"):
        engine.prepare(["jpeg"], profile="machine")
    with pytest.raises(UsageError, match="no codec has a machine layer for det"):
        engine.prepare(["jpeg"], "det", profile="machine")
    made = [fakes.Palette(), fakes.Palette(profile="machine")]
    monkeypatch.setattr(engine.codecs, "create", lambda spec, **_: made)
    assert [*engine.prepare(["x"], "det", profile="machine").codecs] == ["palette/machine"]


@pytest.mark.parametrize(
    ("change", "encodings"),
    [
        (change_picture, 0),  # another that is known, but with other labels
        (change_truth, 4),
        (change_network, 12),
        (change_codec, 6),
    ],
)
def test_what_changes_is_measured_again(
    pictures: tuple[Sample, ...], cache: Cache, change: Any, encodings: int
) -> None:
    samples = [replace(sample, truths={"det": [1]}) for sample in pictures]
    engine.run(fakes.two_codecs(), samples, cache=cache)
    bench = fakes.two_codecs()
    change(bench, samples)
    observations, _ = engine.run(bench, samples, cache=cache)
    calls = [call for codec in codecs_of(bench) for call in codec.calls]
    assert calls.count("encode") == encodings
    assert {one.sample for one in observations} == {sample.name for sample in samples}


def test_a_damaged_value_is_measured_again(pictures: tuple[Sample, ...], cache: Cache) -> None:
    first, _ = engine.run(fakes.two_codecs(), pictures, cache=cache)
    for value in ('[{"sample":', '[{"other": 1}]', "7", "null"):
        cache._database.execute("UPDATE results SET value = ?", (value,))
        again, _ = engine.run(fakes.two_codecs(), pictures, cache=cache)
        assert untimed(again) == untimed(first)


@pytest.mark.parametrize("broken", [b"no picture", None])
@pytest.mark.parametrize("cached", [False, True])
def test_a_broken_picture_is_left_out_of_all(
    pictures: tuple[Sample, ...], cache: Cache, broken: bytes | None, cached: bool
) -> None:
    path = pictures[1].path
    path.unlink()
    if broken is not None:
        path.write_bytes(broken)
    kept = cache if cached else None
    observations, failures = engine.run(fakes.two_codecs(), pictures, cache=kept)
    assert {one.sample for one in observations} == {"0.png", "2.png"}
    [failure] = failures
    assert (failure.sample, failure.codec) == ("1.png", None)
    assert failure.message


def test_a_picture_that_a_codec_fails_at_is_left_out_of_all(pictures: tuple[Sample, ...]) -> None:
    bench = fakes.bench(fakes.Palette(), fakes.Palette("other", "plain", refuses=[41]))
    observations, failures = engine.run(bench, pictures)
    assert {one.sample for one in observations} == {"0.png", "2.png"}
    assert failures == [Failure("1.png", "other/plain", "at 1: this width is refused")]
    assert codecs_of(bench)[1].calls.count("encode") == 5  # not once more at the second point


def test_a_codec_that_always_fails_is_left_out(pictures: tuple[Sample, ...]) -> None:
    bench = fakes.bench(fakes.Palette(), fakes.Palette("other", "plain", refuses=[40, 41, 42]))
    observations, failures = engine.run(bench, pictures)
    assert {one.sample for one in observations} == {sample.name for sample in pictures}
    assert not [one for one in observations if one.curve.startswith("other")]
    [failure] = failures
    assert (failure.sample, failure.codec) == (None, "other/plain")
    assert "this width is refused" in failure.message


def test_failures_are_not_kept(pictures: tuple[Sample, ...], cache: Cache) -> None:
    bench = fakes.bench(fakes.Palette(refuses=[40]))
    assert engine.run(bench, pictures, cache=cache)[1]
    assert not engine.run(fakes.bench(fakes.Palette()), pictures, cache=cache)[1]


def count(done: Counter[str], label: str, number: int) -> None:
    done[label] += number


@pytest.mark.parametrize("broken", [False, True])
def test_progress_reaches_all_steps_of_every_codec(
    pictures: tuple[Sample, ...], cache: Cache, broken: bool
) -> None:
    bench = fakes.bench(fakes.Palette(), fakes.Palette("other", "plain", refuses=[41]))
    if broken:
        pictures[0].path.write_text("no picture")
    for _ in range(2):
        done: Counter[str] = Counter()
        note = partial(count, done)
        engine.run(bench, pictures, cache=cache, progress=note)
        assert done == {"original": 3, "palette/scalable": 6, "other/plain": 6}
