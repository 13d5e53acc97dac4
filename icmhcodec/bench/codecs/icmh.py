"""icmh itself: plain files, scalable files with task layers, files of the machine profile.

Transforms run in the precision that users get by default, which the identity names: it depends on
the machine and moves pictures by rounding, bits hardly.
Options are a profile, a base codec, the level of the task's layer, or some of them:
`icmh:machine`, `icmh:test-tiny`, `icmh:test-tiny:plain`, `icmh:scalable:level1`. A family of
CompressAI's fixed-rate codecs is one base codec whose points are their numbers:
`icmh:mbt2018-mean`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import metadata

import icmhcodec
from icmhcodec import container
from icmhcodec.adapters import bundles
from icmhcodec.bench.contract import HUMAN, ComparedCodec, Decoded, Pixels, Resources
from icmhcodec.codecs import registry
from icmhcodec.container import Reference
from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.masks.predictor import LEVELS
from icmhcodec.pipeline.codec import DEFAULT_BASE, Codec
from icmhcodec.pipeline.encode import DEFAULT_LEVEL
from icmhcodec.pipeline.networks import default_precision, reference_of

POINTS = (0.0, 1.5, 3.0, 4.5, 6.0, 7.5, 9.0)
FIXED_QUALITY = 4.0  # changes nothing in a fixed-rate codec
PLAIN = "plain"
_LEVELS = {f"level{level}": level for level in range(1, LEVELS + 1)}
# What decides a task's layer of each profile.
NEEDED = {"scalable": "predictor", "machine": "adapter"}


class IcmhCodec:
    """Files of one profile; `bases` has a base codec for each point, or one for all under None."""

    def __init__(
        self,
        name: str,
        profile: str,
        tasks: Sequence[str],
        bases: Mapping[float | None, str],
        resources: Resources,
        level: int = DEFAULT_LEVEL,
    ) -> None:
        self.name = name
        self.profile = profile
        self.views = (*tasks, HUMAN) if profile != "machine" else tuple(tasks)
        self.points = POINTS if None in bases else tuple(p for p in bases if p is not None)
        self._tasks = tuple(tasks)
        self._bases = bases
        self._resources = resources
        self._level = level

    def identity(self) -> dict[str, str]:
        """Versions of what computes, and ids with fingerprints of all weights."""
        found = {
            "icmh": icmhcodec.__version__,
            "torch": metadata.version("torch"),
            "compressai": metadata.version("compressai"),  # its range coder
            "precision": default_precision(self._resources.device),
        }
        if self._resources.device != "cpu":
            found["device"] = self._resources.device
        for point, base in self._bases.items():
            reference = _reference(base)
            found["base" if point is None else f"base {point:g}"] = _described(reference)
            for task in self._tasks:
                for kind in bundles.KINDS:
                    bundle = bundles.find(kind, task, reference, self.profile)
                    if bundle is not None:
                        found[f"{task} {kind}"] = _described(bundle[1])
        return found

    def encode(self, pixels: Pixels, point: float) -> bytes:
        """The whole file at a quality, or by the fixed-rate codec of that number."""
        fixed = self._bases.get(point)
        base = self._bases.get(None, fixed)
        if base is None:
            known = ", ".join(f"{p:g}" for p in self.points)
            raise UsageError(f"{self.name}: has no point {point:g}; it has {known}")
        profile = "machine" if self.profile == "machine" else "scalable"
        quality = FIXED_QUALITY if fixed else point
        codec = shared_codec(base, self._resources)
        tasks = [f"{task}:{self._level}" for task in self._tasks]
        return codec.encode(pixels, tasks=tasks, quality=quality, profile=profile).data

    def cut(self, data: bytes, view: str) -> bytes:
        """The split-off file of a task; a person needs the whole one."""
        return data if view == HUMAN else container.split(data, [view])

    def decode(self, data: bytes, view: str) -> Decoded:
        """The picture of a task's layer, or the human one, as RGB."""
        # Any codec decodes any file: which base it was made with stands in the file.
        codec = shared_codec(next(iter(self._bases.values())), self._resources)
        layer = {"human": True} if view == HUMAN else {"task": view}
        return Decoded(codec.decode(data, **layer).picture.pixels)


@lru_cache(maxsize=2)
def shared_codec(base: str, resources: Resources) -> Codec:
    """One for all profiles of a process: the networks are what takes the memory."""
    return Codec(base, device=resources.device, threads=resources.threads)


@lru_cache(maxsize=16)
def _reference(base: str) -> Reference:
    return reference_of(registry.load(base))


def _described(reference: Reference) -> str:
    return f"{reference.id} {reference.fingerprint.hex()}"


def create(options: str, tasks: Sequence[str], resources: Resources) -> list[ComparedCodec]:
    """The plain codec and, for the tasks that have bundles, the scalable and machine profiles.

    A profile that is asked for by name must have bundles: MissingWeightsError.
    """
    words = [word for word in options.split(":") if word]
    chosen = [word for word in words if word == PLAIN or word in NEEDED]
    levels = [word for word in words if word in _LEVELS]
    bases = [word for word in words if word not in chosen + levels]
    if max(map(len, (chosen, bases, levels))) > 1:
        raise UsageError(f"icmh:{options}: name at most one base codec, profile and level")
    base = bases[0] if bases else DEFAULT_BASE
    name = ":".join(["icmh", *bases, *levels])
    level = _LEVELS[levels[0]] if levels else DEFAULT_LEVEL
    family = _family(base)
    found: list[ComparedCodec] = []
    for profile in chosen or ([] if levels else [PLAIN]) + [*NEEDED]:
        ready = _with_bundles(tasks, next(iter(family.values())), profile)
        if ready or profile == PLAIN:
            found.append(IcmhCodec(name, profile, ready, family, resources, level))
    if not found:
        profile = f"{chosen[0]} " if chosen else ""
        raise MissingWeightsError(
            f"icmh:{options}: no {profile}bundle for {' or '.join(tasks) or 'no task'} on "
            f"{base} is here; add one with 'icmh models add FILE'"
        )
    return found


def _family(base: str) -> dict[float | None, str]:
    """The base codec, or the fixed-rate ones of a family by their numbers."""
    members = {i.rpartition("-q")[2]: i for i in registry.names() if i.rpartition("-q")[0] == base}
    return {float(number): i for number, i in members.items()} or {None: registry.resolve(base)}


def _with_bundles(tasks: Sequence[str], base: str, profile: str) -> list[str]:
    if profile == PLAIN or not tasks:
        return []
    kind, reference = NEEDED[profile], _reference(base)
    return [t for t in tasks if bundles.find(kind, t, reference, profile) is not None]
