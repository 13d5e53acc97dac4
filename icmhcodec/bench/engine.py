"""A run over pictures or clips: what is known already, what workers measure, and what failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch

from icmhcodec.bench import cache as caching
from icmhcodec.bench import codecs, measure
from icmhcodec.bench.cache import Cache
from icmhcodec.bench.clips import codecs as clip_codecs
from icmhcodec.bench.clips import measure as clip_measure
from icmhcodec.bench.clips import networks as clip_networks
from icmhcodec.bench.clips.networks import ClipNetwork
from icmhcodec.bench.contract import AnyCodec, Clips, Observation, Resources, Sample
from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.pipeline import jobs
from icmhcodec.pipeline.networks import usable
from icmhcodec.tasks.contract import RecognitionNetwork, load_network

Step = tuple[str, float]  # codec by label, and point
Points = Mapping[str, Sequence[float]]  # by codec's name, where it is not to have its own
ORIGINAL_STEP = (measure.ORIGINAL, 0.0)
# What a network's owner tries first: these on the picture shrunk to the network's input, or that
# beside a file for people.
SHRUNK = ("icmh", "jpeg", "avif")
SIMULCAST = "simulcast:icmh@net+icmh"


@dataclass(frozen=True)
class Bench:
    """What every worker has: the codecs by label, and the network, None for people's eyes only.

    `specs` are what the codecs were made of, `device` is the network's. `clips` says how clips are
    taken; without it the samples are pictures.
    """

    codecs: Mapping[str, AnyCodec]
    network: RecognitionNetwork[Any] | ClipNetwork | None
    specs: tuple[str, ...] = ()
    device: str = "cpu"
    clips: Clips | None = None

    def identity(self) -> dict[str, Any]:
        """What decides results, but for the pictures and the points."""
        about = {label: dict(codec.identity()) for label, codec in self.codecs.items()}
        return {"codecs": about, **self.conditions()}

    def conditions(self) -> dict[str, Any]:
        """What decides the results of every codec."""
        network = self.network
        more = clip_measure.PACKAGES if self.clips else ()
        found: dict[str, Any] = {
            "network": network and f"{network.name} {network.fingerprint} on {self.device}",
            "versions": measure.versions(network, more),
        }
        return {**found, "clips": asdict(self.clips)} if self.clips else found

    def measuring(self, sample: Sample) -> AbstractContextManager[measure.Measuring]:
        """What measures the codecs on a picture or clip."""
        network: Any = self.network
        if self.clips:
            return clip_measure.measuring(sample, network, self.clips)
        return measure.measuring(sample, network)


@dataclass(frozen=True)
class Failure:
    """A picture that is left out of all curves, or without `sample` a codec that is."""

    sample: str | None
    codec: str | None
    message: str


@dataclass(frozen=True)
class Task:
    """What is to be measured of one picture."""

    sample: Sample
    steps: tuple[Step, ...]


Result = tuple[Step, str | Failure]  # observations as JSON, as the cache keeps them
Spread = Callable[[Sequence[Task]], Generator[tuple[Task, Result | Exception], None, None]]
Progress = Callable[[str, int], None]  # codec by label, and how many more of its steps are done


def label(codec: AnyCodec) -> str:
    """Name of a codec among those of a run: codec/profile."""
    return f"{codec.name}/{codec.profile}"


def prepare(
    specs: Sequence[str] | None,
    network: str | None = None,
    *,
    profile: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    clips: Clips | None = None,
) -> Bench:
    """Make the codecs of `specs` and load the network, named by itself or by its task.

    Without specs: all codecs that are here and, where the network has a side, SHRUNK and SIMULCAST.
    `profile` is the only one of icmh's layered profiles that is wanted; `device` is the network's
    and that of codecs that can use it. With `clips` codecs and network are those of clips.
    Errors: UsageError and MissingWeightsError, as `codecs.create` and `load_network` raise them;
    UsageError where no codec has the profile.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    usable(device)  # or it says so
    seeing = None if network is None else load_network(network).to(device)
    tasks = () if seeing is None else (seeing.task,)
    side = seeing.side or None if seeing else None
    resources = Resources(threads, device)
    usual = clip_codecs.available(clips) if clips else _usual(side)
    chosen = tuple(dict.fromkeys(usual if specs is None else specs))
    made: dict[str, AnyCodec] = {}
    for spec in chosen:
        found: Sequence[AnyCodec]
        if clips:
            found = clip_codecs.create(spec, clips, tasks=tasks, resources=resources)
        else:
            found = codecs.create(spec, tasks=tasks, side=side, resources=resources)
        for codec in found:
            if profile is None or codec.profile in (profile, "plain", "simulcast"):
                made.setdefault(label(codec), codec)
    if profile is not None and all(codec.profile != profile for codec in made.values()):
        reason = f"no codec has a {profile} layer for {tasks[0]}" if tasks else "it needs a task"
        hint = "add a bundle with 'icmh models add FILE'" if tasks else "give one with --task"
        raise UsageError(f"--profile {profile}: {reason}; {hint}")
    judge = clip_networks.on_clips(seeing) if seeing and clips else seeing
    return Bench(made, judge, chosen, device, clips)


def _usual(side: int | None) -> list[str]:
    """Specs of all that can be compared here."""
    here = codecs.available()
    if side is None:
        return here
    shrunk = [f"{name}@{codecs.NETWORK_SIDE}" for name in SHRUNK if name in here]
    return here + shrunk + [SIMULCAST] * ("icmh" in here)


def steps(bench: Bench, points: Points) -> list[Step]:
    """All that is to be measured of a picture, in the order of the report."""
    return [ORIGINAL_STEP] + [
        (name, float(point))
        for name, codec in bench.codecs.items()
        for point in points.get(codec.name, codec.points)
    ]


def run(
    bench: Bench,
    samples: Sequence[Sample],
    *,
    points: Points | None = None,
    cache: Cache | None = None,
    spread: Spread | None = None,
    progress: Progress = lambda label, count: None,
) -> tuple[list[Observation], list[Failure]]:
    """Observations of every picture at every point of every codec, and what failed.

    All curves have the same pictures: one that cannot be read, or at which a codec fails, is left
    out of all; a codec that fails at every picture is left out itself. What `cache` knows is not
    measured again. `spread` has tasks done elsewhere (`start` makes the workers); by default all
    is done here. The order of the result depends neither on that nor on the cache.
    """
    found = _Found(bench, steps(bench, points or {}), cache, progress)
    left = [task for sample in samples if (task := found.look_up(sample)).steps]
    # There are few clips, and each takes long: every codec has its own, so that no worker idles.
    apart = bench.clips and spread
    tasks = [part for task in left for part in _by_codec(task)] if apart else left
    if tasks:
        work = partial(_work, bench)
        results = spread(tasks) if spread else jobs.run(tasks, lambda: work)
        with closing(results):
            for task, result in results:
                found.note(task, result)
    return found.kept(samples)


def start(prepare: Callable[[], Bench], identity: Mapping[str, Any]) -> jobs.Work[Task, Result]:
    """Make a worker: its bench, which must be as the one that asks for results.

    Errors: those of `prepare`; IcmhError where versions or weights differ.
    """
    bench = prepare()
    for difference in _differences(bench.identity(), identity):
        raise IcmhError(f"a worker has {difference}; install the same everywhere")
    return partial(_work, bench)


def _differences(own: Any, expected: Any, name: str = "") -> Iterator[str]:
    if isinstance(own, Mapping) and isinstance(expected, Mapping):
        for key in {**expected, **own}:
            yield from _differences(own.get(key), expected.get(key), f"{name} {key}".strip())
    elif own != expected:
        yield f"{name}: {own}, the command {expected}"


def _by_codec(task: Task) -> Iterator[Task]:
    for _, steps in groupby(task.steps, itemgetter(0)):
        yield Task(task.sample, tuple(steps))


def _work(bench: Bench, task: Task) -> Iterator[Result]:
    """Measure one picture: it is read once, and once seen by the network as it is."""
    failed = set()
    with bench.measuring(task.sample) as measured:
        for step in task.steps:
            name, point = step
            if name in failed:
                continue
            codec = None if step == ORIGINAL_STEP else bench.codecs[name]
            try:
                result = json.dumps([asdict(one) for one in measured(codec, point)])
            except Exception as error:
                failed.add(name)
                yield step, Failure(task.sample.name, name, f"at {point:g}: {_describe(error)}")
            else:
                yield step, result


def _describe(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, IcmhError) else f"{type(error).__name__}: {text}"


class _Found:
    """What a run has found so far."""

    def __init__(
        self, bench: Bench, steps: Sequence[Step], cache: Cache | None, progress: Progress
    ) -> None:
        self._steps, self._cache, self._progress = steps, cache, progress
        self._network = bench.network
        identity = bench.identity()
        about = {measure.ORIGINAL: {}, **identity.pop("codecs")}
        self._settings = {
            (name, point): {"codec": [name, about[name]], "point": point, **identity}
            for name, point in steps
        }
        self._keys: dict[tuple[str, Step], str] = {}
        self._known: dict[tuple[str, Step], list[Observation]] = {}
        self._left: dict[str, set[Step]] = {}
        self._failures: dict[tuple[str, str | None], Failure] = {}

    def look_up(self, sample: Sample) -> Task:
        """Take of a picture what the cache knows; the rest is the task."""
        self._left[sample.name] = set(self._steps)
        if self._cache is None:
            return Task(sample, tuple(self._steps))
        try:
            about = [caching.digest(sample.path), self._truth(sample)]
        except OSError as error:
            self._fail(Failure(sample.name, None, f"cannot be read: {error.strerror}"))
            return Task(sample, ())
        missing = []
        for step in self._steps:
            key = caching.key({"picture": about, **self._settings[step]})
            self._keys[sample.name, step] = key
            known = _loaded(self._cache.get(key), sample.name)
            if known:
                self._add(sample.name, step, known)
            else:
                missing.append(step)
        return Task(sample, tuple(missing))

    def note(self, task: Task, result: Result | Exception) -> None:
        """Keep what a worker gave."""
        name = task.sample.name
        if isinstance(result, Exception):
            self._fail(Failure(name, None, _describe(result)))
            return
        step, value = result
        if isinstance(value, Failure):
            self._fail(value)
            return
        if self._cache is not None:
            self._cache.put(self._keys[name, step], value)
        known = _loaded(value, name)
        assert known is not None
        self._add(name, step, known)

    def kept(self, samples: Sequence[Sample]) -> tuple[list[Observation], list[Failure]]:
        """What is left when pictures and codecs that failed are left out."""
        unreadable = {name for name, codec in self._failures if codec is None}
        failing = [codec for name, codec in self._failures if name not in unreadable]
        readable = len(samples) - len(unreadable)
        useless = {codec for codec in failing if codec and failing.count(codec) == readable}
        failures = [one for one in self._failures.values() if one.codec not in useless]
        left_out = {one.sample for one in failures}
        names = [sample.name for sample in samples]
        observations = [
            one
            for name in names
            if name not in left_out
            for step in self._steps
            if step[0] not in useless
            for one in self._known[name, step]
        ]
        order = {name: number for number, name in enumerate(names)}
        failures.sort(key=lambda one: (order[one.sample or ""], one.codec or ""))
        for codec in sorted(useless):
            first = next(one for one in self._failures.values() if one.codec == codec)
            failures.append(Failure(None, codec, f"fails at every picture: {first.message}"))
        return observations, failures

    def _truth(self, sample: Sample) -> Any:
        """What the network's observation depends on beside the picture: annotations, masks."""
        truth = None if self._network is None else sample.truths.get(self._network.task)
        if isinstance(truth, str | Path):
            return caching.digest(Path(truth))
        if isinstance(truth, list) and any(isinstance(one, Path) for one in truth):
            return [one and caching.digest(one) for one in truth]
        return json.dumps(truth, sort_keys=True, default=str)

    def _add(self, name: str, step: Step, observations: list[Observation]) -> None:
        self._known[name, step] = observations
        self._done(name, {step})

    def _fail(self, failure: Failure) -> None:
        name, codec = failure.sample, failure.codec
        assert name is not None
        self._failures[name, codec] = failure
        self._done(name, {step for step in self._left[name] if codec in (None, step[0])})

    def _done(self, name: str, done: set[Step]) -> None:
        """Say it once of each step; the results of a task that was begun twice come twice."""
        for step in done & self._left[name]:
            self._progress(step[0], 1)
        self._left[name] -= done


def _loaded(text: str | None, sample: str) -> list[Observation] | None:
    """Observations of a text, as those of this picture; None where it is none or damaged."""
    if text is None:
        return None
    try:
        return [replace(Observation(**one), sample=sample) for one in json.loads(text)]
    except (ValueError, TypeError):
        return None
