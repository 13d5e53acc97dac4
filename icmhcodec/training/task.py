"""What all trainings of task layers share: what the network sees, how well it is served.

The distortion is the squared error of a recognition network's features, so no labels are needed.
Curves are of the same held-out crops before and after, in the coder's own integers.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from icmhcodec import __version__
from icmhcodec.errors import UsageError
from icmhcodec.masks.predictor import INPUT_SIDE, LEVELS, LONG_SIDES
from icmhcodec.tasks.contract import RecognitionNetwork
from icmhcodec.training import loop, losses, photos
from icmhcodec.training.loop import Point, Validation
from icmhcodec.training.recipe import Recipe, described

Features = Callable[[Tensor], Sequence[Tensor]]

QUALITIES = (0.0, 3.0, 6.0, 9.0)
# Factor by which the network's preprocessing shrinks a picture of each size class.
SHRINK = tuple(2.0 ** (-k / 4) for k in range(len(LONG_SIDES) + 1))
SMALLEST = 64  # side of what a network is shown


@dataclass(frozen=True)
class Draw:
    """One batch: crops [B,3,S,S], qualities [B], levels [B] and one size class."""

    x: Tensor
    quality: Tensor
    level: Tensor
    size_class: int

    @property
    def size_classes(self) -> Tensor:
        """The size class, once for each crop."""
        return torch.full_like(self.level, self.size_class)


def draw(x: Tensor, random: np.random.Generator, levels: bool) -> Draw:
    """Crops with random qualities, spread evenly, and with `levels` random levels."""
    count = len(x)
    spread = (random.permutation(count) + random.random(count)) / count
    level = random.integers(1, LEVELS + 1, count) if levels else np.full(count, losses.LEVEL)
    return Draw(
        x,
        torch.from_numpy(spread).float().to(x.device) * 9,
        torch.from_numpy(level).to(x.device),
        int(random.integers(len(SHRINK))),
    )


def picture_side(size_class: int, input_side: int = INPUT_SIDE) -> int:
    """The long side of a picture of a size class, for a network of so many pixels."""
    return int((input_side or INPUT_SIDE) / SHRINK[size_class])


def seen_by_network(x: Tensor, size_class: int) -> Tensor:
    """The crop as the network's preprocessing shows it: shrunk, sides multiples of 32."""
    side = max(SMALLEST, round(x.shape[-1] * SHRINK[size_class] / 32) * 32)
    if side == x.shape[-1]:
        return x
    return F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)


class Distortion:
    """Squared error of features, relative to those of the originals; [B].

    With `bfloat16` gradients are taken in it where the network's layers can; `weights` are those
    of the features' levels.
    """

    def __init__(
        self, features: Features, bfloat16: bool = False, weights: Sequence[float] = (1.0,)
    ) -> None:
        self._features, self._bfloat16, self._weights = features, bfloat16, weights

    def __call__(self, decoded: Tensor, batch: Draw) -> Tensor:
        """Of decoded crops [B,3,S,S] to those of a batch."""
        with torch.autocast(batch.x.device.type, torch.bfloat16, enabled=self._bfloat16):
            with torch.no_grad():
                original = self._seen(batch.x, batch.size_class)
            seen = self._seen(decoded, batch.size_class)
        return losses.feature_distortion(seen, original, self._weights)

    def _seen(self, x: Tensor, size_class: int) -> Sequence[Tensor]:
        return self._features(seen_by_network(x, size_class))


Measured = tuple[Tensor, Tensor]  # bits per pixel and distortion, each [B]


def evaluation_batches(
    crops: Tensor, device: torch.device, batch: int, qualities: Sequence[float] = QUALITIES
) -> Iterator[Draw]:
    """Held-out crops, uint8 [n,S,S,3], all at each quality and each at one size class."""
    x = photos.to_input(crops, device)
    for quality in qualities:
        for size_class in range(min(len(SHRINK), len(x))):
            for part in torch.split(x[size_class :: len(SHRINK)], batch):
                level = torch.full((len(part),), losses.LEVEL, device=device)
                yield Draw(part, torch.full_like(level, quality, dtype=torch.float32), level,
                           size_class)  # fmt: skip


@torch.no_grad()
def curve(
    measure: Callable[[Draw], Measured], crops: Tensor, device: torch.device, batch: int
) -> tuple[Point, ...]:
    """Mean bits per pixel and distortion, in dB below the features, at each quality."""
    rows: dict[float, list[tuple[float, float]]] = {}
    for part in evaluation_batches(crops, device, batch):
        bpp, distortion = measure(part)
        quality = part.quality[0].item()
        rows.setdefault(quality, []).extend(zip(bpp.tolist(), distortion.tolist(), strict=True))
    means = {quality: np.mean(values, 0) for quality, values in rows.items()}
    return tuple(
        Point(q, float(bpp), float(-10 * np.log10(max(d, 1e-10)))) for q, (bpp, d) in means.items()
    )


def loss_of(points: Sequence[Point], lambdas: Sequence[float]) -> float:
    """Mean over qualities of rate and distortion, weighed as in training."""
    quality = torch.tensor([point.quality for point in points])
    weight = losses.task_lambda(quality, torch.full_like(quality, losses.LEVEL), lambdas, 1.0)
    bpp = torch.tensor([point.bpp for point in points])
    distortion = torch.tensor([10 ** (-point.psnr / 10) for point in points])
    return float((sample_weights(weight) * (bpp + weight * distortion)).mean())


def sample_weights(lambdas: Tensor) -> Tensor:
    """Inverse roots of lambdas [B], 1 in the mean: gradients differ by as much without them."""
    weights = lambdas.rsqrt()
    return weights / weights.mean()


@dataclass(frozen=True)
class Report:
    """Held-out crops before and after a training, at the same qualities and sizes.

    `before` is what the training started from. Changes are percent, negative is better, over the
    range that both curves share; None where they share none.
    """

    loss_before: float
    loss_after: float
    before: tuple[Point, ...]
    after: tuple[Point, ...]
    distortion_at_equal_bpp: float | None
    bits_at_equal_distortion: float | None

    def as_json(self) -> str:
        """For a bundle's metadata; points are quality, bits per pixel and dB."""
        rounded = {
            name: [[round(value, 4) for value in asdict(point).values()] for point in points]
            for name, points in (("before", self.before), ("after", self.after))
        }
        numbers = {
            f.name: value if value is None else round(value, 4)
            for f in fields(self)
            if f.name not in rounded
            for value in [getattr(self, f.name)]
        }
        return json.dumps({**numbers, **rounded})


def report(before: Sequence[Point], after: Sequence[Point], lambdas: Sequence[float]) -> Report:
    """Compare two curves."""
    (bpp0, level0), (bpp1, level1) = (_logarithms(points) for points in (before, after))
    return Report(
        loss_of(before, lambdas),
        loss_of(after, lambdas),
        tuple(before),
        tuple(after),
        _change(bpp0, level0, bpp1, level1),
        _change(level0, bpp0, level1, bpp1),
    )


Curve = npt.NDArray[np.float64]


def _logarithms(points: Sequence[Point]) -> tuple[Curve, Curve]:
    """Logarithms of rate and distortion."""
    bpp = np.log([max(point.bpp, 1e-6) for point in points])
    return bpp, np.array([-point.psnr for point in points]) * np.log(10) / 10


def _change(x0: Curve, y0: Curve, x1: Curve, y1: Curve) -> float | None:
    """Percent by which exp(y) differs at equal x, in the mean over the x that both have.

    None where they have none in common, or a curve does not fall, so that it is no function of x.
    """
    low, high = max(x0.min(), x1.min()), min(x0.max(), x1.max())
    if high <= low or not (_falls(x0, y0) and _falls(x1, y1)):
        return None
    x = np.linspace(low, high, 101)
    means = []
    for own, values in ((x0, y0), (x1, y1)):
        order = np.argsort(own)
        means.append(np.interp(x, own[order], values[order]).mean())
    return float(100 * np.expm1(means[1] - means[0]))


def _falls(x: Curve, y: Curve) -> bool:
    return bool((np.diff(y[np.argsort(x)]) < 0).all())


class TaskRun(loop.Run):
    """What the runs of task layers have besides what every run has."""

    decibels = "features"

    @abstractmethod
    def measure(self, batch: Draw) -> Measured:
        """Bits per pixel and distortion of the averaged weights, in the coder's integers."""

    @abstractmethod
    def measure_start(self, batch: Draw) -> Measured:
        """The same of what the training started from."""

    @property
    @abstractmethod
    def ends(self) -> Sequence[float]:
        """Lambdas of the lowest and the highest quality."""

    def curve(self, crops: Tensor) -> tuple[Point, ...]:
        """Points of the averaged weights on held-out crops, uint8 [n,S,S,3]."""
        return curve(self.measure, crops, self.device, self.recipe.batch)

    def validate(self, crops: Tensor) -> Validation:
        """Loss and points of the averaged weights on held-out crops, without noise."""
        points = self.curve(crops)
        return Validation(loss_of(points, self.ends), points)

    def report(self, crops: Tensor) -> Report:
        """The averaged weights beside what the training started from, on held-out crops."""
        before = curve(self.measure_start, crops, self.device, self.recipe.batch)
        return report(before, self.curve(crops), self.ends)


def provenance(steps: int, seconds: float, recipe: Recipe, about: dict[str, str]) -> dict[str, str]:
    """What a file's metadata say of how it was trained."""
    return {
        "recipe": described(asdict(recipe)),
        "steps": str(steps),
        "seconds": f"{seconds:.0f}",
        "icmh": __version__,
        **about,
    }


def targets(network: RecognitionNetwork[Any], what: str) -> Features:
    """What of a network is to stay the same: its "features" or its "outputs", with gradients.

    UsageError where it has no outputs with gradients.
    """
    if what == "features":
        return network.features
    if not isinstance(network, torch.nn.Module):
        raise UsageError(f"{network.name} gives no outputs with gradients; take its features")
    return lambda x: [network(network.preprocess(x))]
