"""Training of a task's layers of P frames on a frozen video codec (arXiv 2501.04329, III-D).

First the mask predictors of both latents, by rate and distortion added up over the frames of a
sequence: a task's frames refer to its own ones, and what is left out of one is missed in those
after it. Then the adapter of its frames, by distortion alone.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.adapters import bundles
from icmhcodec.adapters.video import (
    BEFORE,
    VideoAdapter,
    export_video_adapter,
    load_video_adapter,
)
from icmhcodec.codecs.contract import QUALITY_UNIT, BaseCodec
from icmhcodec.codecs.video.contract import VideoCodec
from icmhcodec.container import Reference
from icmhcodec.entropy.model import MEAN_BITS, latent_symbols
from icmhcodec.errors import UsageError
from icmhcodec.masks import video as video_masks
from icmhcodec.masks.predictor import INPUT_SIDE, Condition, Predictor
from icmhcodec.masks.video import VideoNet
from icmhcodec.modelfile import ModelFile
from icmhcodec.training import loop, losses, photos, recipe, task
from icmhcodec.training.adapter import select
from icmhcodec.training.latents import SCALE_TABLE
from icmhcodec.training.loop import Point, Validation
from icmhcodec.training.recipe import Recipe
from icmhcodec.training.task import Distortion, Draw, Features
from icmhcodec.training.video import as_sequences

FOLDER = recipe.FOLDER / "video-tasks"
HELD = 50.0  # biases of what shifts colours: no logit comes near
STEP = 4.0  # by which a latent is moved to see what it does


@dataclass(frozen=True)
class VideoTaskRecipe(Recipe):
    """How a bundle of P frames is trained; the defaults are the recipe `cpu`."""

    crop: int = 128
    decay: float = 0.8
    average: float = 0.998
    frames: int = 4  # that are learnt from, the one that they refer to included
    ahead: int = 8  # at most as many P frames come before those, without gradients
    group: int = 32  # frames of a group: what the last one lacks, those after it lack too
    synthetic: float = 0.3  # share of photos that move, where there are photos
    alone: float = 0.7  # share of the schedule of the predictors; the rest is the adapter's
    lambdas: tuple[float, ...] = (0.3, 30.0)  # of the lowest and the highest quality, at level 2
    per_level: float = 2.0  # factor of lambda from level to level
    peak: float = 1e-3  # Adam's
    table_peak: float = 5e-3  # the same for the tables of conditions, which start as constants
    width: int = 128  # of the predictors
    bfloat16: bool = True  # in the codecs, and in the recognition network for gradients

    def __post_init__(self) -> None:
        """Raise UsageError for values out of their range."""
        super().__post_init__()
        low, high = self.lambdas if len(self.lambdas) == 2 else (1.0, 0.0)
        for holds, message in (
            (self.frames > 1, "frames are two or more"),
            (self.ahead >= 0 and self.group >= 0, "ahead and group are not negative"),
            (0 <= self.synthetic <= 1, "synthetic is a share"),
            (0 < self.alone <= 1, "alone is a share above none"),
            (0 < low < high, "lambdas are the lowest and the highest"),
            (self.per_level > 0 and self.width > 0, "per_level and width are positive"),
        ):
            if not holds:
                raise UsageError(f"recipe: {message}")

    @property
    def length(self) -> int:
        """Frames of a sequence."""
        return self.ahead + self.frames


class Trained(nn.Module):
    """The trained parts: a predictor for each latent, and the adapter of frames."""

    def __init__(self, codec: VideoCodec, width: int, side: int) -> None:
        super().__init__()
        self.predictors = nn.ModuleDict(
            {
                name: VideoNet(codec.latent(name).latent_channels, side, width)
                for name in video_masks.LATENTS
            }
        )
        self.adapter = VideoAdapter()

    def nets(self) -> dict[str, VideoNet]:
        """The predictors by latent."""
        return {name: cast(VideoNet, net) for name, net in self.predictors.items()}


@dataclass(frozen=True)
class Exact:
    """Latents as the coder has them: symbols, means, scale indexes [B,M,h,w], which are coded.

    `inverse` are the inverse gains [B,M,1,1], `integer_mean` is int32.
    """

    symbols: Tensor
    mean: Tensor
    integer_mean: Tensor
    index: Tensor
    coded: Tensor
    inverse: Tensor

    def values(self, mask: Tensor | float = 1.0) -> Tensor:
        """The latents, without gain, where a mask holds, and means elsewhere."""
        return (self.mean + mask * self.coded * self.symbols) * self.inverse

    def bits(self, mask: Tensor) -> Tensor:
        """Bits [B] of what a mask holds."""
        scales = SCALE_TABLE.to(self.index.device)[self.index]
        return (mask * losses.gaussian_bits(self.symbols, scales)).flatten(1).sum(1)


@dataclass(frozen=True)
class Held:
    """What a layer holds of a frame: latents by name, bits [B], share of the elements [B]."""

    values: dict[str, Tensor]
    bits: Tensor
    fill: Tensor


@torch.no_grad()
def colour_channels(codec: VideoCodec) -> list[int]:
    """Channels of the residual's latent that shift the mean colour of what they cover."""
    M, side, half = codec.residual.latent_channels, 64, 16
    grey = torch.full((1, 3, side, side), 0.5, device=codec.device)
    still = grey.new_zeros(1, codec.motion.latent_channels, side // 16, side // 16)
    prediction = codec.prediction(still, grey)
    steps = torch.diag(grey.new_full((M,), STEP))[:, :, None, None]
    latents = F.pad(steps.expand(M, M, 2, 2), (1, 1, 1, 1))
    plain = codec.reconstruct(torch.zeros_like(latents[:1]), prediction)
    shifted = codec.reconstruct(latents, prediction.expand(M, -1, -1, -1)) - plain
    covered = shifted[:, :, half:-half, half:-half].float().flatten(2)
    mean, scale = covered.mean(2).abs().amax(1), covered.square().mean((1, 2)).sqrt()
    return (mean > scale / 2).nonzero()[:, 0].tolist()


@torch.no_grad()
def exact(codec: BaseCodec, y: Tensor, quality: Tensor) -> Exact:
    """What the coder makes of latents [B,M,h,w] without gain at qualities [B]."""
    pairs = [codec.gains(int(q * QUALITY_UNIT)) for q in quality]
    gain, inverse = (torch.stack(part)[:, :, None, None] for part in zip(*pairs, strict=True))
    y = y.float() * gain
    z_symbols = [codec.entropy.hyper_symbols(one) for one in codec.hyper_analysis(y).float()]
    parameters = [codec.entropy.parameters(one) for one in z_symbols]
    integer_mean = torch.stack([mean for mean, _ in parameters]).to(y.device)
    index = torch.stack([index for _, index in parameters]).to(y.device).long()
    symbols = latent_symbols(y, integer_mean).float()
    mean = integer_mean.float() * 2.0**-MEAN_BITS
    coded = (index >= codec.default_skip).float()
    return Exact(symbols, mean, integer_mean, index, coded, inverse)


class Run(loop.Run):
    """A training run of a bundle on a frozen video codec."""

    kind = "video-task"
    decibels = "features"
    recipe: VideoTaskRecipe
    trained: Trained
    average: Trained

    def __init__(
        self,
        codec: VideoCodec,
        intra: BaseCodec,
        predictor: Predictor,
        recipe: VideoTaskRecipe,
        features: Features,
        side: int = INPUT_SIDE,
    ) -> None:
        """Start anew; `predictor` is the task's on the picture codec, which codes I frames.

        `features` and `side` are the recognition network's features and input, 0 for any size.
        """
        torch.manual_seed(recipe.seed)
        trained = Trained(codec, recipe.width, side or INPUT_SIDE)
        super().__init__(recipe, trained, codec.device)
        self.codec, self.intra, self.predictor = codec, intra, predictor
        self.side = side
        self.distortion = Distortion(features)
        self.training_distortion = Distortion(features, recipe.bfloat16)
        named = list(self.trained.named_parameters())
        tables = [p for name, p in named if "_condition." in name]
        rest = [p for name, p in named if "_condition." not in name]
        groups: list[dict[str, Any]] = [
            {"params": tables, "peak": recipe.table_peak},
            {"params": rest, "peak": recipe.peak},
        ]
        self.optimizers = [torch.optim.Adam(groups)]
        self.clipped = tables + rest
        self.colours = colour_channels(codec)
        self.settle()

    def identity(self) -> dict[str, str]:
        """Kind and codecs."""
        codecs = {"base": self.codec.fingerprint.hex(), "intra": self.intra.fingerprint.hex()}
        return {**super().identity(), **codecs}

    @torch.no_grad()
    def settle(self) -> None:
        """Let the layer hold all symbols that shift the colour of what they cover.

        What it lacks of them adds up from frame to frame, and is the first that goes wrong.
        """
        for trained in (self.trained, self.average):
            bias = cast(Tensor, trained.nets()["residual"].leave.bias)
            bias[self.colours] = HELD

    def phase(self) -> Hashable:
        """Whether it is the adapter that learns."""
        return self.done >= self.recipe.alone

    def terms(self, crops: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Rate of the layers' symbols and distortion of features, or this alone."""
        adapting = bool(self.phase())
        self.trained.adapter.requires_grad_(adapting)
        self.trained.predictors.requires_grad_(not adapting)
        sequences = as_sequences(crops, self.recipe.length)
        random = np.random.default_rng((self.recipe.seed, self.steps))
        batch = task.draw(sequences[:, 0], random, levels=True)
        ahead = int(random.integers(self.recipe.ahead + 1))
        bpp, distortion, fill = self._costs(
            self.trained, sequences[:, : ahead + self.recipe.frames], batch, ahead,
            noisy=not adapting, adapted=adapting,
        )  # fmt: skip
        weight = losses.task_lambda(
            batch.quality, batch.level, self.recipe.lambdas, self.recipe.per_level
        )
        cost = weight * distortion + (0.0 if adapting else bpp)
        loss = (task.sample_weights(weight) * cost).mean()
        return loss, {"bpp": bpp, "distortion": distortion, "fill": fill}

    def _costs(
        self, trained: Trained, sequences: Tensor, batch: Draw, ahead: int,
        *, noisy: bool, adapted: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Bits per pixel, distortion and fill of the P frames behind those ahead, each [B].

        All are means; in the distortion's the last frame stands for the rest of its group, too.
        """
        learning = torch.is_grad_enabled()
        distortion_of = self.training_distortion if learning else self.distortion
        human, own = self._first(batch)
        shown = [own]
        before: dict[str, Tensor] = {}
        rates, distortions, fills = [], [], []
        for number, current in enumerate(sequences[:, 1:].unbind(1)):
            human, latents = self._human(current, human, batch.quality)
            counted = number >= ahead
            with torch.set_grad_enabled(learning and counted):
                held = self._layer(trained, latents, before, batch, noisy and counted)
                prediction = self.codec.prediction(held.values["motion"], shown[-1])
                decoded = self.codec.reconstruct(held.values["residual"], prediction)
                if counted:
                    seen = trained.adapter.adapted(decoded, shown) if adapted else decoded
                    distortions.append(distortion_of(seen, replace(batch, x=current)))
                    rates.append(held.bits / current[0, 0].numel())
                    fills.append(held.fill)
            shown = [*shown[1 - BEFORE :], decoded.clamp(0, 1)]
        bpp, fill = (torch.stack(part).mean(0) for part in (rates, fills))
        behind = max(0, self.recipe.group - sequences.shape[1])
        distortion = torch.stack([*distortions, *[distortions[-1]] * behind]).mean(0)
        return bpp, distortion, fill

    def _layer(
        self,
        trained: Trained,
        latents: dict[str, Exact],
        before: dict[str, Tensor],
        batch: Draw,
        noisy: bool,
    ) -> Held:
        """What the layer holds of a frame; `before`, symbols of the last one, become its own."""
        values = {}
        bits, fill = torch.zeros_like(batch.quality), torch.zeros_like(batch.quality)
        for name, latent in latents.items():
            mask = self._mask(trained, name, latent, before.get(name), batch, noisy)
            before[name] = (mask * latent.symbols).detach()
            values[name] = latent.values(mask)
            bits = bits + latent.bits(mask)
            fill = fill + mask.detach().flatten(1).mean(1) / len(latents)
        return Held(values, bits, fill)

    @torch.no_grad()
    def _first(self, batch: Draw) -> tuple[Tensor, Tensor]:
        """The first frame as people have it, and as the task does: by the picture's predictor."""
        latent = exact(self.intra, self.intra.analysis(batch.x), batch.quality)
        side = task.picture_side(batch.size_class, self.side)
        masks = [
            self.predictor(mean, index.to(torch.uint8), Condition(int(q * 256), int(level), side))
            for mean, index, q, level in zip(
                latent.integer_mean, latent.index, batch.quality, batch.level, strict=True
            )
        ]
        mask = torch.stack(masks).float()
        human, own = (self.intra.synthesis(latent.values(m)).clamp(0, 1) for m in (1.0, mask))
        return human, own

    @torch.no_grad()
    def _human(
        self, current: Tensor, reference: Tensor, quality: Tensor
    ) -> tuple[Tensor, dict[str, Exact]]:
        """A frame as people have it, by which both latents are made, and these."""
        codec = self.codec
        motion = exact(codec.motion, codec.motion_latent(current, reference), quality)
        prediction = codec.prediction(motion.values(), reference)
        residual = exact(codec.residual, codec.residual_latent(current, prediction), quality)
        decoded = codec.reconstruct(residual.values(), prediction)
        return decoded.clamp(0, 1), {"motion": motion, "residual": residual}

    @staticmethod
    def _mask(
        trained: Trained,
        name: str,
        latent: Exact,
        before: Tensor | None,
        batch: Draw,
        noisy: bool,
    ) -> Tensor:
        """What the task's layer holds of a latent, 0 or 1."""
        last = torch.zeros_like(latent.symbols) if before is None else before
        logits = trained.nets()[name].logits(
            latent.mean, latent.index, last, batch.quality, batch.level, batch.size_classes
        )
        return select(logits, noisy) * latent.coded

    @torch.no_grad()
    def validate(self, crops: Tensor) -> Validation:
        """Loss and points, bits per pixel and dB below the features, of the averaged weights."""
        points = self.curve(crops, masked=True)
        return Validation(task.loss_of(points, self.recipe.lambdas), points)

    @torch.no_grad()
    def curve(self, crops: Tensor, masked: bool) -> tuple[Point, ...]:
        """Points of held-out sequences: of the task's layer, or of all that people have."""
        sequences = as_sequences(photos.to_input(crops, self.device), self.recipe.length)
        adapted = bool(self.phase())
        points = []
        for quality in task.QUALITIES:
            rows = []
            for part in torch.split(sequences, self.recipe.batch):
                level = torch.full((len(part),), losses.LEVEL, device=self.device)
                batch = Draw(part[:, 0], torch.full_like(level, quality, dtype=torch.float32),
                             level, 0)  # fmt: skip
                if masked:
                    bpp, distortion, _ = self._costs(
                        self.average, part, batch, self.recipe.ahead, noisy=False, adapted=adapted
                    )
                else:
                    bpp, distortion = self._whole(part, batch)
                rows.append(torch.stack([bpp, distortion], 1))
            rate, error = torch.cat(rows).mean(0).tolist()
            points.append(Point(quality, rate, -10 * float(np.log10(max(error, 1e-10)))))
        return tuple(points)

    def _whole(self, sequences: Tensor, batch: Draw) -> tuple[Tensor, Tensor]:
        """Bits per pixel and distortion of all symbols."""
        human, _ = self._first(batch)
        rates, distortions = [], []
        for number, current in enumerate(sequences[:, 1:].unbind(1)):
            human, latents = self._human(current, human, batch.quality)
            if number < self.recipe.ahead:
                continue
            bits = torch.stack([latent.bits(latent.coded) for latent in latents.values()]).sum(0)
            rates.append(bits / current[0, 0].numel())
            distortions.append(self.distortion(human, replace(batch, x=current)))
        return torch.stack(rates).mean(0), torch.stack(distortions).mean(0)


def start_with(name: str, codec: Reference) -> tuple[dict[str, Tensor], str]:
    """Weights to start from under a run's names, and their licence: of a run's folder or a bundle.

    UsageError where there is neither, FormatError for damaged ones.
    """
    if (Path(name) / loop.STATE).exists():
        state = loop.read_state(Path(name) / loop.STATE)
        if state["kind"] != Run.kind:
            raise UsageError(f"{name}: a run of kind {state['kind']}, not of layers of P frames")
        return state["average"], ""
    weights: dict[str, Tensor] = {}
    licence = ""
    for kind in ("predictor", "adapter"):
        found = bundles.find(kind, name, codec, "scalable")
        if found is None:
            continue
        model = found[0]
        licence = model.metadata.get("licence", licence)
        if kind == "adapter":
            state = load_video_adapter(model.tensors).state_dict()
            weights |= {f"adapter.{key}": tensor for key, tensor in state.items()}
            continue
        video_masks.load(model.tensors)
        weights |= {f"predictors.{key}": t for key, t in video_masks.weights(model.tensors).items()}
    if not weights:
        raise UsageError(
            f"{name}: neither a run's folder nor a bundle of {codec.id}; see icmh models list"
        )
    return weights, licence


def export(run: Run, task_name: str, name: str, details: dict[str, str]) -> list[ModelFile]:
    """The predictors' and the adapter's file of the averaged weights; an adapter once it learned.

    `details` name data, licence and the like. Integers follow the float16 weights.
    """
    average = run.average
    shared = {
        "id": name,
        "task": task_name,
        "profile": "scalable",
        "base": run.codec.id,
        "base_fingerprint": run.codec.fingerprint.hex(),
        **task.provenance(run.steps, run.seconds, run.recipe, run.about),
        **details,
    }
    predictor = video_masks.export(average.nets())
    models = [ModelFile({**shared, "kind": "predictor", "roles": "predictor"}, predictor)]
    if run.phase():
        adapter = export_video_adapter(average.adapter)
        models.append(ModelFile({**shared, "kind": "adapter", "roles": "frames"}, adapter))
    return models
