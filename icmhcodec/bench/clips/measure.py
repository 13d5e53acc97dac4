"""One clip, one codec, one setting: bytes, times, memory, and what is left of the frames."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from icmhcodec.bench.clips.networks import ClipNetwork
from icmhcodec.bench.clips.spool import Spool
from icmhcodec.bench.contract import ClipCodec, Clips, Observation, Pixels, Sample, curve_name
from icmhcodec.bench.measure import ORIGINAL, Measuring, ms_ssim, timed
from icmhcodec.errors import IcmhError
from icmhcodec.imageio.clip import ClipFrame, ClipInfo
from icmhcodec.imageio.clip_read import ClipReader

# dB of a frame, as libvmaf bounds it at 8 bits: one black frame without loss would else decide.
HIGHEST_PSNR = 60.0
PACKAGES = ("av", "scipy")
Costs = tuple[float, float, float]


@dataclass(frozen=True)
class Reference:
    """A clip as all codecs get it, and the file of what the network sees in its frames."""

    sample: Sample
    info: ClipInfo
    frames: Spool
    folder: Path
    network: ClipNetwork | None

    def predictions(self) -> Iterator[Any]:
        """What the network sees in each frame."""
        with _predictions(self.folder).open("rb") as file:
            for _ in range(self.frames.count):
                yield pickle.load(file)


def _predictions(folder: Path) -> Path:
    return folder / "predictions"


@contextmanager
def measuring(sample: Sample, network: ClipNetwork | None, clips: Clips) -> Iterator[Measuring]:
    """Read a clip, let the network see its frames once, and give what measures codecs on it.

    Raw frames lie in the system's folder for temporary files meanwhile, so that memory does not
    grow with the clip. Errors: IcmhError where it is no intact clip.
    """
    with TemporaryDirectory(prefix="icmh-bench-") as name:
        yield partial(_measured, _refer(sample, network, clips, Path(name)))


def _refer(sample: Sample, network: ClipNetwork | None, clips: Clips, folder: Path) -> Reference:
    with ClipReader(sample.path, frames=(0, clips.frames)) as reader:
        pixels = (item.pixels for item in reader if isinstance(item, ClipFrame))
        frames = Spool(folder / "original", pixels)
        info = reader.info
    if network is not None:
        with _predictions(folder).open("wb") as file:
            for frame in frames:
                pickle.dump(network.predict(frame), file)
    return Reference(sample, info, frames, folder, network)


def _measured(reference: Reference, codec: Any, point: float) -> list[Observation]:
    if codec is None:
        return [_original(reference)]
    return _coded(reference, codec, point)


def _original(reference: Reference) -> Observation:
    """The uncompressed clip: 24 bits per pixel, no time."""
    task = None
    if reference.network is not None:
        truth = reference.sample.truths.get(reference.network.task)
        task = reference.network.observe(reference.predictions(), reference.predictions(), truth)
    return Observation(
        sample=reference.sample.name,
        curve=ORIGINAL,
        point=0.0,
        pixels=reference.frames.pixels,
        bytes=3 * reference.frames.pixels,
        encode_s=0.0,
        decode_s=0.0,
        peak_mb=0.0,
        human={},
        task=task,
        frames=reference.frames.count,
    )


def _coded(reference: Reference, codec: ClipCodec, point: float) -> list[Observation]:
    """Encode a clip once, and cut and decode it for each view of the codec.

    Times are wall clock from raw frames to the file and from the file to raw frames, for the whole
    clip; the peak of memory is that of `bench.measure.measure`.
    """
    folder, info = reference.folder, reference.info
    whole, part, raw = (folder / name for name in ("coded", "part", "decoded"))
    encode = partial(codec.encode, reference.frames, info, point, whole)
    _, encode_s, encode_mb = timed(encode)
    found = []
    for view in codec.views:
        needed = codec.cut(whole, view, part)
        decode = partial(_decoded, codec, needed, view, info, raw)
        frames, decode_s, decode_mb = timed(decode)
        costs = encode_s, decode_s, max(encode_mb, decode_mb)
        curve, size = curve_name(codec, view), needed.stat().st_size
        found.append(_observe(reference, curve, point, size, frames, costs))
    return found


def _decoded(codec: ClipCodec, source: Path, view: str, info: ClipInfo, target: Path) -> Spool:
    return Spool(target, codec.decode(source, view, info))


def _observe(
    reference: Reference, curve: str, point: float, size: int, frames: Spool, costs: Costs
) -> Observation:
    original, network = reference.frames, reference.network
    if (frames.count, frames.shape) != (original.count, original.shape):
        raise IcmhError(
            f"decoded to {frames.count} frames {frames.shape}, but the clip has {original.count} "
            f"{original.shape}"
        )
    encode_s, decode_s, peak_mb = costs
    task = None
    if network is not None:
        truth = reference.sample.truths.get(network.task)
        task = network.observe(map(network.predict, frames), reference.predictions(), truth)
    return Observation(
        sample=reference.sample.name,
        curve=curve,
        point=point,
        pixels=original.pixels,
        bytes=size,
        encode_s=encode_s,
        decode_s=decode_s,
        peak_mb=peak_mb,
        human=_human(original, frames),
        task=task,
        frames=original.count,
    )


def _human(original: Spool, frames: Spool) -> dict[str, float]:
    """Means over frames of PSNR in RGB and of MS-SSIM, where frames are large enough for it."""
    values: dict[str, list[float]] = {"psnr": [], "ms_ssim": []}
    for before, after in zip(original, frames, strict=True):
        values["psnr"].append(psnr(before, after))
        similar = ms_ssim(before, after)
        if similar is not None:
            values["ms_ssim"].append(similar)
    return {name: fmean(found) for name, found in values.items() if found}


def psnr(before: Pixels, after: Pixels) -> float:
    """PSNR in dB of a frame over its three channels, at most HIGHEST_PSNR."""
    difference = before.astype(np.int32) - after
    mse = float(np.mean(difference * difference, dtype=np.float64))
    return min(HIGHEST_PSNR, 10 * np.log10(255**2 / mse)) if mse else HIGHEST_PSNR
