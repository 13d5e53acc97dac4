"""Training of a video codec: motion, residual, both, then along several frames; all rates at once.

The order is FVC's (Hu et al. 2021), with DVC's flow before it (Lu et al. 2019): no trained flow is
at hand, so that it starts by explaining frames by warped ones. The first reference of a sequence
is what the picture codec makes of it, at the same quality.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from icmhcodec.codecs.video.export import build_video
from icmhcodec.codecs.video.motion import SpyNet, warp
from icmhcodec.errors import UsageError
from icmhcodec.modelfile import ModelFile
from icmhcodec.training import loop, network, photos, recipe, video_network
from icmhcodec.training.loop import Point, Validation
from icmhcodec.training.network import LEVELS, Network
from icmhcodec.training.optimisers import KERNEL_OPTIMISERS, adam, is_kernel
from icmhcodec.training.recipe import Recipe
from icmhcodec.training.task import provenance
from icmhcodec.training.video_network import Coded, Sizes, VideoNetwork

FOLDER = recipe.FOLDER / "video"
STAGES = ("flow", "prior", "motion", "residual", "joint", "unroll")
PEAK = 255.0**2  # lambdas are for errors of pixels in 0 to 255
PREDICTED = 0.1  # weight of the predictions' errors beside the frame's (DVC)
ALONE = 0.25  # the same without a residual, which would make up for most of them
SMOOTH = 0.02  # weight of a flow's differences to its neighbours
PRIOR_STEP, PRIOR_EVERY = 0.02, 5  # how far and how often medians and tails follow
QUALITIES = (0.0, 3.0, 6.0, 9.0)
# What learns in a stage, by the beginning of parameters' names; all that is not named rests.
LEARNING = {
    "flow": ("estimation.",),
    "prior": ("motion.h_", "motion.eb."),
    "motion": ("motion.", "flow_head.", "compensation.", "features.", "frame.", "offsets.",
               "alignment."),
    "residual": ("residual.", "compensation.", "features.", "frame."),
    "joint": ("",),
    "unroll": ("",),
}  # fmt: skip


@dataclass(frozen=True)
class VideoRecipe(Recipe):
    """How a video codec is trained; the defaults are the recipe `cpu`.

    `flow` to `unroll` are the stages' shares of the schedule, in that order. Only the last one goes
    along `frames` frames, the others see two of them. `flow` and `prior` are DVC's alone.
    """

    architecture: str = "dvc"
    motion_channels: tuple[int, ...] = (128, 128)  # of hyper-latent and latent
    residual_channels: tuple[int, ...] = (128, 192)  # DVC's are the picture codec's
    inner: int = 128  # see video_network.Sizes
    around: int = 64
    crop: int = 128
    scales: tuple[float, ...] = (1.0, 0.7)
    frames: int = 4
    synthetic: float = 0.5  # share of photos that move, where there are photos
    flow: float = 0.2
    prior: float = 0.08
    motion: float = 0.0
    residual: float = 0.0
    joint: float = 0.52
    unroll: float = 0.28
    optimiser: str = "muon"  # of the convolutions' kernels: muon, soap or adam
    kernel_rate: float = 2e-4
    table_rate: float = 1e-3  # Adam's, of biases, normalisations and gains
    prior_rate: float = 1e-2  # Adam's, of the factorised priors
    started: float = 0.15  # share of these rates for what is trained already
    lambdas: tuple[float, ...] = (0.0009, 0.18)  # of the lowest and the highest quality
    weight_power: float = 0.5  # a sample's loss weighs lambda^-weight_power
    skip: int = 4  # skip index of the residual that is simulated; 0 = off
    bfloat16: bool = True

    def __post_init__(self) -> None:
        """Raise UsageError for values out of their range."""
        super().__post_init__()
        low, high = self.lambdas if len(self.lambdas) == 2 else (1.0, 0.0)
        for holds, message in (
            (self.architecture in video_network.NETWORKS, "architecture is dvc or fvc"),
            (
                len(self.motion_channels) == len(self.residual_channels) == 2,
                "channels are two counts",
            ),
            (min(*self.motion_channels, *self.residual_channels) > 0, "channels are counts"),
            (min(self.inner, self.around) > 0, "inner and around are counts"),
            (self.frames > 1, "frames are two or more"),
            (0 <= self.synthetic <= 1, "synthetic is a share"),
            (min(self.shares) >= 0 and sum(self.shares) > 0, "stages have shares"),
            (self.optimiser in KERNEL_OPTIMISERS, f"optimiser is one of {_KNOWN}"),
            (0 < low < high, "lambdas are the lowest and the highest"),
            (0 <= self.skip < 64, "skip is an index of 0 to 63"),
        ):
            if not holds:
                raise UsageError(f"recipe: {message}")

    @property
    def length(self) -> int:
        """Frames of a sequence."""
        return self.frames

    @property
    def sizes(self) -> Sizes:
        """Widths of a fresh network."""
        motion, residual = self.motion_channels, self.residual_channels
        return Sizes((motion[0], motion[1]), (residual[0], residual[1]), self.inner, self.around)

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the schedule, by stage."""
        return self.flow, self.prior, self.motion, self.residual, self.joint, self.unroll

    def stage(self, done: float) -> str:
        """The stage after a share of the schedule; FVC has no flow to start with."""
        shares = dict(zip(STAGES, self.shares, strict=True))
        if self.architecture != "dvc":
            shares["motion"] += shares.pop("flow") + shares.pop("prior")
        reached = done * sum(shares.values())
        for name, share in shares.items():
            reached -= share
            if reached < 0:
                return name
        return next(name for name, share in reversed(shares.items()) if share)


_KNOWN = ", ".join(KERNEL_OPTIMISERS)


class Run(loop.Run):
    """A training run of a video codec."""

    kind = "video"
    recipe: VideoRecipe
    trained: VideoNetwork
    average: VideoNetwork

    def __init__(
        self,
        recipe: VideoRecipe,
        device: torch.device,
        intra: Network,
        start: VideoNetwork | None = None,
        base: str = "",
    ) -> None:
        """Start from given weights, or anew; `intra` is the picture codec of first frames.

        `base` is that one's fingerprint, by which a run goes on. A fresh DVC's residual coder
        starts as the picture codec.
        """
        torch.manual_seed(recipe.seed)
        low, high = recipe.lambdas
        trained = start
        if trained is None:
            trained = video_network.fresh(recipe.architecture, recipe.sizes, (low, high))
            video_network.enliven(trained)
            if recipe.architecture == "dvc":
                video_network.start_residual(trained, intra.state_dict())
        super().__init__(recipe, trained, device)
        self.intra, self.base = intra.to(device).eval().requires_grad_(False), base
        self.skips = 0.0, network.skip_scale(recipe.skip)
        self._set_optimizers()

    def identity(self) -> dict[str, str]:
        """Kind and picture codec."""
        return {**super().identity(), "base": self.base}

    def _set_optimizers(self) -> None:
        recipe = self.recipe
        rates = {
            "kernel": recipe.kernel_rate, "table": recipe.table_rate, "prior": recipe.prior_rate,
        }  # fmt: skip
        named: dict[tuple[str, str], list[torch.nn.Parameter]] = {}
        for name, parameter in self.trained.named_parameters():
            named.setdefault((_part(name, parameter), self._origin(name)), []).append(parameter)
        groups: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for (part, origin), own in named.items():
            group = {"params": own, "origin": origin, "rate": rates[part], "peak": rates[part]}
            groups[part == "kernel"].append(group)
        self.clipped = [parameter for group in groups[False] for parameter in group["params"]]
        kernels = KERNEL_OPTIMISERS[recipe.optimiser](groups[True], lr=recipe.kernel_rate)
        self.optimizers = [adam(groups[False], recipe.table_rate), kernels]

    def _origin(self, name: str) -> str:
        """What a parameter is of, as far as its rate goes: what starts trained learns slowly."""
        origin = name.partition(".")[0]
        known = self.recipe.architecture == "dvc" and origin in ("estimation", "residual")
        return origin if known else ""

    def _set_peaks(self, stage: str) -> None:
        """Of DVC the residual's coder is trained from the start, the flow's estimation after it."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                fresh = group["origin"] == "" or (stage, group["origin"]) == ("flow", "estimation")
                group["peak"] = group["rate"] * (1.0 if fresh else self.recipe.started)

    def phase(self) -> Hashable:
        """The stage."""
        return self.recipe.stage(self.done)

    def step(self, crops: Tensor) -> dict[str, float]:
        """One update, at the rates of its stage."""
        self._set_peaks(str(self.phase()))
        return super().step(crops)

    def terms(self, crops: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a stage."""
        stage, recipe = str(self.phase()), self.recipe
        for name, parameter in self.trained.named_parameters():
            parameter.requires_grad_(name.startswith(LEARNING[stage]))
        sequences = as_sequences(crops, recipe.frames)
        random = np.random.default_rng((recipe.seed, self.steps))
        if stage != "unroll":  # two frames side by side
            start = int(random.integers(recipe.frames - 1))
            sequences = sequences[:, start : start + 2]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bfloat16):
            if stage == "flow":
                return self._flow_terms(sequences[:, 1], sequences[:, 0])
            count = len(sequences)
            spread = (random.permutation(count) + random.random(count)) / count
            quality = torch.from_numpy(spread).float().to(self.device) * (LEVELS - 1)
            if stage == "prior":
                return self._prior_terms(sequences[:, 1], sequences[:, 0], quality)
            return self._coding_terms(stage, sequences, quality)

    def _flow_terms(self, current: Tensor, reference: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the warped reference misses at each level, and how rough flows are."""
        loss = current.new_zeros(())
        estimation = cast(SpyNet, self.trained.estimation)
        for flow, now, before in estimation.pyramid(current, reference):
            error = (now - warp(before, flow)).abs().mean()
            rough = sum(flow.diff(dim=d).abs().mean() for d in (2, 3))
            loss = loss + error + SMOOTH * rough / flow.shape[3] ** 0.5
        shown = (now - warp(before, flow)).square().flatten(1).mean(1)
        return loss, {"psnr": _decibels(shown)}

    def _prior_terms(
        self, current: Tensor, reference: Tensor, quality: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What flows cost: a prior that fits them is cheap to learn, and decides what they gain."""
        with torch.no_grad():
            seen = self.trained.seen_motion(current, self._intra(reference, quality))
        noise, _ = self.trained.noise(len(current), current.shape[-1], self.device)
        _, *parts = self.trained.motion(seen, quality, noise, self.skips[0])
        bpp = (parts[0] + parts[1]).mean()
        return bpp, {"bpp": bpp.detach(), "motion": bpp.detach()}

    def _coding_terms(
        self, stage: str, sequences: Tensor, quality: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        lambdas = self.lambdas(quality)
        weights = lambdas**-self.recipe.weight_power
        weights = weights / weights.mean()
        reference = sequences[:, 0] if stage == "motion" else self._intra(sequences[:, 0], quality)
        later = sequences[:, 1:].unbind(1)
        loss = quality.new_zeros(())
        errors, rates = [], []
        for number, current in enumerate(later):
            noise = self.trained.noise(len(current), current.shape[-1], self.device)
            coded = self.trained(
                current, reference, quality, noise, residual=stage != "motion", skips=self.skips
            )
            distortion, error, bpp = self._costs(stage, coded, current)
            # Errors go on: what comes last weighs the most (FVC), 1 in the mean.
            share = 2 * (number + 1) / (len(later) + 1) / len(later)
            loss = loss + share * (weights * (lambdas * PEAK * distortion + bpp)).mean()
            reference = coded.frame.clamp(0, 1)
            errors.append(error.detach())
            rates.append((coded.motion_bpp + coded.residual_bpp).detach())
        return loss, {
            "bpp": torch.stack(rates).mean(),
            "motion": coded.motion_bpp.detach(),
            "psnr": _decibels(torch.stack(errors)),
        }

    @staticmethod
    def _costs(stage: str, coded: Coded, current: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a stage counts as distortion, the frame's error, and what it counts as rate; [B]."""
        error, predicted = _error(coded.frame, current), _error(coded.predicted, current)
        warped = predicted if coded.warped is None else _error(coded.warped, current)
        if stage == "motion":
            return ALONE * (predicted + warped), error, coded.motion_bpp
        if stage == "residual":
            return error, error, coded.residual_bpp
        bpp = coded.motion_bpp + coded.residual_bpp
        guide = PREDICTED * (predicted + warped) if stage == "joint" else 0.0
        return error + guide, error, bpp

    @torch.no_grad()
    def _intra(self, x: Tensor, quality: Tensor) -> Tensor:
        """What the picture codec makes of first frames."""
        decoded: Tensor = self.intra(x, quality)[0]
        return decoded.clamp(0, 1)

    def lambdas(self, quality: Tensor) -> Tensor:
        """Lambdas of qualities."""
        low, high = self.recipe.lambdas
        return low * torch.exp(quality / (LEVELS - 1) * math.log(high / low))

    def settle(self) -> None:
        """Let the priors' medians and tails follow them."""
        if self.steps % PRIOR_EVERY == 0:
            step = PRIOR_STEP * self.recipe.rate(self.done)
            stage = str(self.phase())
            for name in ("motion", "residual"):
                if f"{name}.".startswith(LEARNING[stage]):
                    getattr(self.trained, name).eb.follow(step)

    @torch.no_grad()
    def validate(self, crops: Tensor) -> Validation:
        """Loss and points of the averaged weights over sequences, rounded; P frames alone count."""
        sequences = as_sequences(photos.to_input(crops, self.device), self.recipe.frames)
        points = [self._point(sequences, q) for q in QUALITIES]
        quality = torch.tensor(QUALITIES)
        mse = torch.tensor([10 ** (-point.psnr / 10) for point in points])
        bpp = torch.tensor([point.bpp for point in points])
        weights = self.lambdas(quality) ** -self.recipe.weight_power
        cost = weights / weights.mean() * (self.lambdas(quality) * PEAK * mse + bpp)
        return Validation(float(cost.mean()), tuple(points))

    def _point(self, sequences: Tensor, quality: float) -> Point:
        rates, levels = [], []
        for sequence in torch.split(sequences, self.recipe.batch):
            q = torch.full((len(sequence),), quality, device=self.device)
            reference = self._intra(sequence[:, 0], q)
            for current in sequence[:, 1:].unbind(1):
                coded = self.average(current, reference, q, skips=self.skips)
                reference = coded.frame.clamp(0, 1)
                rates.append(coded.motion_bpp + coded.residual_bpp)
                levels.append(_decibels(_error(reference, current)))
        return Point(quality, torch.cat(rates).mean().item(), torch.cat(levels).mean().item())


def _part(name: str, parameter: Tensor) -> str:
    """Which rate a parameter learns at."""
    if ".eb." in name:
        return "prior"
    return "kernel" if is_kernel(parameter) else "table"


def as_sequences(frames: Tensor, length: int) -> Tensor:
    """Frames [B*T,3,S,S], those of a sequence side by side, as [B,T,3,S,S]."""
    return frames.reshape(-1, length, *frames.shape[1:])


def _error(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().flatten(1).mean(1)


def _decibels(error: Tensor) -> Tensor:
    return -10 * torch.log10(error.clamp_min(1e-10))


def export(run: Run, name: str, details: dict[str, str]) -> ModelFile:
    """The file of the averaged weights; `details` name data, licence and the like."""
    description = provenance(run.steps, run.seconds, run.recipe, run.about) | details
    skips = {"residual": run.recipe.skip}
    state = run.average.state_dict()
    return build_video(state, name, run.recipe.architecture, description, skips)
