"""One picture, one codec, one setting: bytes, times, memory, and what is left of the picture."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from icmhcodec import imageio
from icmhcodec.bench import cache as caching
from icmhcodec.bench.contract import (
    ComparedCodec,
    Decoded,
    Observation,
    Pixels,
    Sample,
    curve_name,
)
from icmhcodec.errors import IcmhError
from icmhcodec.tasks.contract import RecognitionNetwork

ORIGINAL = "original"
# Four halvings under a window of 11 elements (Wang et al. 2003); pytorch-msssim refuses less.
MS_SSIM_SIDE = 161
DIGITS = 6  # of what is summed in float32: those behind differ with the number of threads
# What reads pictures and computes metrics, and what networks run on beside it.
PACKAGES = ("icmhcodec", "numpy", "pillow", "torch", "pytorch-msssim", "lpips")
NETWORK_PACKAGES = ("torchvision", "onnxruntime", "pycocotools")
_PROCESS = Path("/proc/self")
_MB = 1_000_000

R = TypeVar("R")
# Observations of one picture or clip: one for each view of a codec (None: the original) at a point.
Measuring = Callable[[Any, float], list[Observation]]


@dataclass(frozen=True)
class Reference:
    """A picture as all codecs get it, uint8 [H,W,3], and what the network sees in it."""

    sample: Sample
    pixels: Pixels
    network: RecognitionNetwork[Any] | None = None
    prediction: Any = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read(path: Path) -> Pixels:
    """A picture file as upright RGB, uint8 [H,W,3].

    Grey becomes RGB, 16 bits become 8, and transparent pixels show white, as in most viewers;
    colour profiles are not applied. Raises IcmhError where it is no intact picture.
    """
    picture = imageio.to_eight_bits(imageio.read(path))
    pixels = np.broadcast_to(picture.pixels, (*picture.pixels.shape[:2], 3))
    if picture.alpha is None:
        return pixels.copy()
    alpha = picture.alpha[:, :, None].astype(np.uint32)
    return ((pixels * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def refer(sample: Sample, network: RecognitionNetwork[Any] | None) -> Reference:
    """Read a picture, and let the network predict on it once for all codecs."""
    pixels = read(sample.path)
    prediction = None if network is None else network.predict(pixels)
    return Reference(sample, pixels, network, prediction)


@contextmanager
def measuring(sample: Sample, network: RecognitionNetwork[Any] | None) -> Iterator[Measuring]:
    """Read a picture, let the network see it once, and give what measures codecs on it."""
    yield partial(_measured, refer(sample, network))


def _measured(reference: Reference, codec: Any, point: float) -> list[Observation]:
    return [measure_original(reference)] if codec is None else measure(reference, codec, point)


def measure_original(reference: Reference) -> Observation:
    """The uncompressed picture: 24 bits per pixel, nothing lost, no time."""
    pixels = reference.pixels
    return _observe(reference, ORIGINAL, 0.0, pixels.nbytes, Decoded(pixels), (0.0, 0.0, 0.0))


def measure(reference: Reference, codec: ComparedCodec, point: float) -> list[Observation]:
    """Encode a picture once, and cut and decode it for each view of the codec.

    Times are seconds of wall clock; cutting counts for neither side. The peak of memory is the
    highest resident size of this whole process, networks included, while it encodes or decodes;
    where the system does not let it be reset, the highest so far. Programs that a codec starts
    are not in it. Errors: IcmhError where a view has another size than the picture.
    """
    data, encode_s, encode_mb = timed(partial(codec.encode, reference.pixels, point))
    found = []
    for view in codec.views:
        part = codec.cut(data, view)
        decoded, decode_s, decode_mb = timed(partial(codec.decode, part, view))
        costs = encode_s, decode_s, max(encode_mb, decode_mb)
        curve = curve_name(codec, view)
        found.append(_observe(reference, curve, point, len(part), decoded, costs))
    return found


def timed(action: Callable[[], R]) -> tuple[R, float, float]:
    """What an action gives, the seconds it takes, and the peak of memory in MB meanwhile."""
    with suppress(OSError):  # some systems do not let a process do this
        (_PROCESS / "clear_refs").write_text("5")  # resets VmHWM; see proc(5)
    begun = time.perf_counter()
    result = action()
    return result, time.perf_counter() - begun, _peak_mb()


def _peak_mb() -> float:
    with suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / _MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MB


def _observe(
    reference: Reference,
    curve: str,
    point: float,
    size: int,
    decoded: Decoded,
    costs: tuple[float, float, float],
) -> Observation:
    pixels, original = decoded.pixels, reference.pixels
    if not decoded.shrunk and pixels.shape != original.shape:
        raise IcmhError(f"decoded to {pixels.shape}, but the picture is {original.shape}")
    encode_s, decode_s, peak_mb = costs
    return Observation(
        sample=reference.sample.name,
        curve=curve,
        point=point,
        pixels=original.shape[0] * original.shape[1],
        bytes=size,
        encode_s=encode_s,
        decode_s=decode_s,
        peak_mb=peak_mb,
        human={} if decoded.shrunk else dict(_human(original, pixels)),
        task=_task(reference, decoded),
    )


def _task(reference: Reference, decoded: Decoded) -> Mapping[str, Any] | None:
    network = reference.network
    if network is None:
        return None
    if decoded.pixels is reference.pixels:
        prediction = reference.prediction
    else:
        prediction = network.predict(decoded.pixels, reference.size if decoded.shrunk else None)
    truth = reference.sample.truths.get(network.task)
    return network.observe(prediction, reference.prediction, truth)


def _human(original: Pixels, pixels: Pixels) -> Iterator[tuple[str, float]]:
    """Distortions over the three channels of two pictures of one size."""
    difference = original.astype(np.int32) - pixels
    yield "mse", float(np.mean(difference * difference, dtype=np.float64))
    similar = ms_ssim(original, pixels)
    if similar is not None:
        yield "ms_ssim", similar
    perceptual = _lpips()
    if perceptual is not None:
        with torch.inference_mode():
            pair = (_tensor(picture) / 127.5 - 1 for picture in (original, pixels))
            yield "lpips", round(float(perceptual(*pair)), DIGITS)


def ms_ssim(original: Pixels, pixels: Pixels) -> float | None:
    """MS-SSIM over the three channels, None for small pictures or without its package."""
    if not find_spec("pytorch_msssim") or min(original.shape[:2]) < MS_SSIM_SIDE:
        return None
    import pytorch_msssim

    pair = (_tensor(picture) for picture in (original, pixels))
    return round(float(pytorch_msssim.ms_ssim(*pair, data_range=255)), DIGITS)


def _tensor(picture: Pixels) -> Tensor:
    """The float32 tensor [1,3,H,W] of a picture, in its levels."""
    return torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]


@cache
def _lpips() -> Callable[[Tensor, Tensor], Tensor] | None:
    """LPIPS with AlexNet (Zhang et al. 2018), where the package and its trunk are here."""
    if not find_spec("lpips"):
        return None
    trunk = Path(torch.hub.get_dir()) / "checkpoints" / "alexnet-owt-7be5be79.pth"
    if not trunk.is_file():  # else it would be downloaded, in the midst of the run
        return None
    network: torch.nn.Module = import_module("lpips").LPIPS(net="alex", verbose=False).eval()
    return network


def versions(network: object | None, more: tuple[str, ...] = ()) -> dict[str, str]:
    """What computes the metrics, for keys of cached results."""
    packages = PACKAGES if network is None else PACKAGES + NETWORK_PACKAGES
    found = caching.versions(packages + more)
    return {**found, "lpips-trunk": "alex"} if _lpips() else found
