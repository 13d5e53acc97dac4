"""Compared codecs by name, and what can be made of them.

A spec is a codec with its options (`jpeg`, `icmh:machine`), one on shrunk pictures (`avif@416`, or
`avif@net` for the side of the network's input), or `simulcast:MACHINE+HUMAN` of two specs.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from icmhcodec.bench.codecs.shrink import ShrunkCodec
from icmhcodec.bench.codecs.simulcast import SimulcastCodec
from icmhcodec.bench.contract import HUMAN, ComparedCodec, Resources
from icmhcodec.errors import IcmhError, UsageError

# A module each, with create(options, tasks, resources); these take options after a colon.
CODECS = ("icmh", "compressai", "jpeg", "webp", "avif", "jxl", "heic", "vvc", "bpg")
WITH_OPTIONS = ("icmh", "compressai")
SIMULCAST = "simulcast:"
NETWORK_SIDE = "net"
ANY = Resources()


def names() -> list[str]:
    """All codecs, also those whose library or program is not here."""
    return list(CODECS)


def available() -> list[str]:
    """The codecs whose libraries, programs and weights are here."""
    return [name for name in CODECS if absence(name) is None]


def absence(name: str) -> str | None:
    """Why a codec cannot be used here, None where it can."""
    try:
        create(name)
    except IcmhError as error:
        return str(error)
    return None


def create(
    spec: str,
    *,
    tasks: Sequence[str] = (),
    side: int | None = None,
    resources: Resources = ANY,
) -> list[ComparedCodec]:
    """The codecs that a spec stands for: of icmh one for each profile that has bundles for `tasks`.

    `side` is that of the network's input; what has no use for a GPU runs on the CPU. UsageError for
    an unknown spec, or one that needs a task, a library or a program that is not here;
    MissingWeightsError for weights that are not.
    """
    if spec.startswith(SIMULCAST):
        return [_simulcast(spec, tasks, side, resources)]
    inner, at, size = spec.rpartition("@")
    if at:
        return _shrunk(inner, size, tasks, side, resources)
    name, _, options = spec.partition(":")
    if name not in CODECS:
        raise UsageError(f"codec {spec!r}: not known; known are {', '.join(CODECS)}")
    if options and name not in WITH_OPTIONS:
        raise UsageError(f"codec {spec!r}: {name} takes no options")
    module = importlib.import_module(f"{__name__}.{name}")
    codecs: list[ComparedCodec] = module.create(options, tasks, resources)
    return codecs


def _shrunk(
    inner: str, size: str, tasks: Sequence[str], side: int | None, resources: Resources
) -> list[ComparedCodec]:
    """A codec on shrunk pictures: the plain one, or of icmh the profile that is named."""
    spec = f"{inner}@{size}"
    if not tasks:
        raise UsageError(f"codec {spec!r}: a shrunk picture is for a network; give a task")
    if size == NETWORK_SIDE:
        if not side:
            raise UsageError(f"codec {spec!r}: the network takes any size; give one in pixels")
    elif size.isdecimal() and int(size) > 0:
        side = int(size)
    else:
        raise UsageError(f"codec {spec!r}: after @ comes a size in pixels, or {NETWORK_SIDE}")
    found = create(inner, tasks=tasks, side=side, resources=resources)
    plain = [codec for codec in found if codec.profile == "plain"]
    return [ShrunkCodec(codec, side, tasks) for codec in plain or found]


def _simulcast(
    spec: str, tasks: Sequence[str], side: int | None, resources: Resources
) -> ComparedCodec:
    streams = spec.removeprefix(SIMULCAST).split("+")
    if len(streams) != 2 or not all(streams):
        raise UsageError(f"codec {spec!r}: give two, as in {SIMULCAST}avif@416+icmh")
    if not tasks:
        raise UsageError(f"codec {spec!r}: one stream is for a network; give a task")
    machine, human = (create(s, tasks=tasks, side=side, resources=resources) for s in streams)
    for_machine = [codec for codec in machine if HUMAN not in codec.views]
    for_human = [codec for codec in human if codec.profile == "plain" and HUMAN in codec.views]
    if not for_machine:
        raise UsageError(
            f"codec {spec!r}: {streams[0]} is not for machines alone; take icmh:machine or "
            f"{streams[0]}@{NETWORK_SIDE}"
        )
    if not for_human:
        raise UsageError(f"codec {spec!r}: {streams[1]} has no plain file for people")
    name = f"{SIMULCAST}{for_machine[0].name}+{for_human[0].name}"
    return SimulcastCodec(name, for_machine[0], for_human[0])
