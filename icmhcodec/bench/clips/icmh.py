"""icmh on clips: sequences with P frames (`icmh`), and with I frames alone (`all-intra`).

Both are whole .icm files with header, checksums and index. Options are a base codec, a codec of P
frames, a profile (plain, scalable), or some of them: `icmh:fvc`, `icmh:dvc-1:scalable`,
`all-intra:test-tiny`. The point is the quality.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import icmhcodec
from icmhcodec.adapters import bundles
from icmhcodec.bench.codecs.icmh import PLAIN, POINTS
from icmhcodec.bench.contract import HUMAN, ClipCodec, Pixels, Resources
from icmhcodec.codecs.video import registry
from icmhcodec.container import Reference
from icmhcodec.container.video import Frame, Reader, Writer, split_stream
from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.imageio.clip import ClipInfo
from icmhcodec.pipeline.codec import DEFAULT_BASE
from icmhcodec.pipeline.networks import Networks, default_precision
from icmhcodec.pipeline.video.decode import adapters_of, decode_frames, layer_of
from icmhcodec.pipeline.video.encode import Picture, encode_frames
from icmhcodec.pipeline.video.plan import PROFILE, Options, Plan, make_header, make_plan

INTRA = "all-intra"
_RATE = Fraction(25)  # where the source has none
_SIDE = 64  # of frames that are never coded, for a plan that only names its codecs


class IcmhClips:
    """Sequences with one choice of codecs; see `bench.contract.ClipCodec`."""

    points: tuple[float, ...] = POINTS

    def __init__(
        self, name: str, profile: str, base: str, options: Options, resources: Resources
    ) -> None:
        """Load the codecs; MissingWeightsError where one is not here."""
        self.name = name
        self.profile = profile
        self.views = (*options.tasks, HUMAN)
        self._base = base
        self._options = options
        self._resources = resources
        self._header = self._plan(_SIDE, _SIDE, _RATE, options.quality).header

    def identity(self) -> dict[str, str]:
        """Versions of what computes, and ids with fingerprints of all weights."""
        found = {
            "icmh": icmhcodec.__version__,
            "torch": metadata.version("torch"),
            "compressai": metadata.version("compressai"),  # its range coder
            "precision": default_precision(self._resources.device),
            "device": self._resources.device,
            "gop": str(self._options.gop),
            "intra": _described(self._header.intra),
        }
        if self._header.inter is not None:
            found["inter"] = _described(self._header.inter)
        for layer in self._header.layers:
            for latent, choice in enumerate(layer.choices):
                for kind in bundles.KINDS:
                    reference = getattr(choice, kind)
                    if reference is not None:
                        found[f"{layer.task} {kind} {latent}"] = _described(reference)
        return found

    def _plan(self, width: int, height: int, rate: Fraction, quality: float) -> Plan:
        networks = _networks(self._resources)
        chosen = replace(self._options, quality=quality)
        clip = {"time_base": 1 / rate, "rate": rate}
        return make_plan(networks, make_header(networks, self._base, chosen, width, height, **clip))

    def has_bundles(self, task: str) -> bool:
        """Whether there are predictors of a task for every codec of these."""
        codecs = [codec for codec in (self._header.intra, self._header.inter) if codec is not None]
        return all(bundles.find("predictor", task, codec, PROFILE) is not None for codec in codecs)

    def encode(self, frames: Iterable[Pixels], info: ClipInfo, point: float, target: Path) -> None:
        """Write the whole file at a quality."""
        plan = self._plan(info.width, info.height, info.rate or _RATE, point)
        pictures = (Picture(number, pixels) for number, pixels in enumerate(frames))
        with target.open("wb") as file, closing(encode_frames(plan, pictures)) as coded:
            writer = Writer(file, plan.header)
            for frame in coded:
                writer.write_frame(frame)
            writer.close()

    def cut(self, source: Path, view: str, target: Path) -> Path:
        """The split-off file of a task; a person needs the whole one."""
        if view == HUMAN:
            return source
        with source.open("rb") as whole, target.open("wb") as part:
            split_stream(whole, [view], part)
        return target

    def decode(self, source: Path, view: str, info: ClipInfo) -> Iterator[Pixels]:
        """The frames of a task's layer, or the human ones."""
        del info
        networks = _networks(self._resources)
        with source.open("rb") as file:
            reader = Reader(file)
            header = reader.header
            plan = make_plan(networks, header)
            layer = layer_of(header, None if view == HUMAN else view, len(header.layers))
            adapters = adapters_of(networks, plan, layer, [])
            frames = (item for item in reader if isinstance(item, Frame))
            with closing(decode_frames(plan, frames, layer, adapters)) as decoded:
                for shown in decoded:
                    yield shown.pixels


@lru_cache(maxsize=2)
def _networks(resources: Resources) -> Networks:
    """One for all codecs of a process: the networks are what takes the memory."""
    return Networks(resources.device, "auto")


def _described(reference: Reference) -> str:
    return f"{reference.id} {reference.fingerprint.hex()}"


def create(spec: str, *, tasks: Sequence[str], gop: int, resources: Resources) -> list[ClipCodec]:
    """The plain codec of a spec and, where all bundles for `tasks` are here, the scalable one.

    MissingWeightsError where a codec is not here, or a profile that is asked for has no bundles;
    UsageError for options that cannot be.
    """
    kind, *words = spec.split(":")
    profiles = [word for word in words if word in (PLAIN, PROFILE)]
    inters = [word for word in words if kind != INTRA and word in _inter_names()]
    bases = [word for word in words if word not in profiles + inters]
    if max(map(len, (profiles, inters, bases))) > 1:
        raise UsageError(f"codec {spec!r}: name at most one base, codec of P frames and profile")
    inter = inters[0] if inters else "" if kind == INTRA else _installed()
    base = bases[0] if bases else DEFAULT_BASE
    options = Options(gop=1 if kind == INTRA else gop, inter=inter)
    name = ":".join([kind, *bases, *inters])
    plain = IcmhClips(name, PLAIN, base, options, resources)
    ready = tuple(task for task in tasks if plain.has_bundles(task))
    found: list[ClipCodec] = [plain] if PLAIN in (profiles or [PLAIN]) else []
    if ready and PROFILE in (profiles or [PROFILE]):
        layered = replace(options, tasks=ready)
        found.append(IcmhClips(name, PROFILE, base, layered, resources))
    if not found:
        raise MissingWeightsError(
            f"{spec}: no bundles for {' or '.join(tasks) or 'no task'} on these codecs are here; "
            "add them with 'icmh models add FILE'"
        )
    return found


def _inter_names() -> set[str]:
    here = {about["id"] for _, about in registry.available()}
    return here | set(registry.ARCHITECTURES)


def _installed() -> str:
    """The kind of codec of P frames that is here."""
    here = {about.get("architecture") for _, about in registry.available()}
    for name in registry.ARCHITECTURES:
        if name in here:
            return name
    raise MissingWeightsError(
        "codec 'icmh': no video codec is here; train one with 'icmh train video', or add its file "
        "with 'icmh models add FILE'"
    )
