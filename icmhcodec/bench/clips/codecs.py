"""Codecs of clips by name."""

from __future__ import annotations

from collections.abc import Sequence

from icmhcodec.bench.clips import ffmpeg, icmh
from icmhcodec.bench.contract import ClipCodec, Clips, Resources
from icmhcodec.errors import IcmhError, UsageError

OWN = (icmh.INTRA, "icmh")
NAMES = (*ffmpeg.KINDS, *OWN)
USUAL = ("x264", "x265", "svt-av1", *OWN)  # where nothing is named
ANY = Resources()
WHOLE = Clips()


def available(clips: Clips = WHOLE) -> list[str]:
    """Those of USUAL whose libraries and weights are here."""
    return [name for name in USUAL if _is_here(name, clips)]


def _is_here(name: str, clips: Clips) -> bool:
    try:
        create(name, clips)
    except IcmhError:
        return False
    return True


def create(
    spec: str, clips: Clips, *, tasks: Sequence[str] = (), resources: Resources = ANY
) -> list[ClipCodec]:
    """The codecs that a spec stands for: of icmh one for each profile that has bundles for `tasks`.

    UsageError for an unknown spec, or a library that is not here; MissingWeightsError for weights
    that are not.
    """
    if spec in ffmpeg.KINDS:
        return [ffmpeg.FfmpegCodec(spec, clips.gop)]
    if spec.split(":")[0] in OWN:
        return icmh.create(spec, tasks=tasks, gop=clips.gop, resources=resources)
    raise UsageError(f"codec {spec!r}: not known for clips; known are {', '.join(NAMES)}")
