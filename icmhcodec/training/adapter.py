"""Training of a task's mask predictor and adapters on a frozen base codec.

In the profile `scalable` all layers share the base codec's latent: the predictor says which of its
symbols a task's layer holds, adapters stand in the decoder alone. In `machine` the task has a
latent of its own, and adapters stand in the encoder, too (Adapt-ICMH, ECCV 2024).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from icmhcodec.adapters import bundles
from icmhcodec.adapters.contract import WIDTH, WINDOW, Adapter
from icmhcodec.adapters.kinds import DEFAULT, KINDS, create, export_stages
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.container import Reference
from icmhcodec.errors import UsageError
from icmhcodec.masks import kinds as predictors
from icmhcodec.masks import light
from icmhcodec.masks.predictor import INPUT_SIDE, LogitNet
from icmhcodec.modelfile import ModelFile
from icmhcodec.training import latents, loop, losses, task
from icmhcodec.training.latents import Coder, HyperAdapters, Latent
from icmhcodec.training.recipe import Recipe
from icmhcodec.training.task import Distortion, Draw, Features, Measured

NONE = "none"
PROFILES = ("scalable", "machine")
_PREDICTOR = "predictor."  # what its weights' names begin with


@dataclass(frozen=True)
class TaskRecipe(Recipe):
    """How a bundle is trained; the defaults are the recipe `machine-plain`.

    Stages of the encoder are counted from the picture, those of the decoder from the latent. The
    stages next to the picture work at half its size and cost more than all others.
    """

    minutes: float = 60.0
    decay: float = 0.8
    turn: bool = False
    average: float = 0.998
    profile: str = "machine"
    kind: str = DEFAULT  # of the adapters
    width: int = WIDTH
    window: int = WINDOW  # side of the squares whose spectrum FMA takes; 0: the whole map's
    encoder: tuple[int, ...] = (1, 2)  # stages with an adapter
    decoder: tuple[int, ...] = (0, 1)
    hyper: bool = False  # adapters in the hyper path too: an estimate, which nothing can code with
    predictor: str = NONE  # kind of the mask predictor
    alone: float = 0.0  # share of the schedule in which only the predictor learns
    lambdas: tuple[float, ...] = (1.5, 60.0)  # of the lowest and the highest quality, at level 2
    features: tuple[float, ...] = (1.0,)  # weights of their levels, the last for all that follow
    per_level: float = 2.0  # factor of lambda from level to level
    peak: float = 1e-3  # Adam's
    encoder_peak: float = 1e-3  # the same for adapters in the encoder
    table_peak: float = 5e-3  # the same for the tables of conditions, which start as constants
    bfloat16: bool = True  # in the recognition network, for gradients

    def __post_init__(self) -> None:
        """Raise UsageError for values that do not go together."""
        super().__post_init__()
        low, high = self.lambdas if len(self.lambdas) == 2 else (1.0, 0.0)
        known = (NONE, *predictors.KINDS)
        for holds, message in (
            (self.profile in PROFILES, f"profile is one of {', '.join(PROFILES)}"),
            (self.kind in KINDS, f"kind is one of {', '.join(KINDS)}"),
            (self.predictor in known, f"predictor is one of {', '.join(known)}"),
            (self.width > 0 and self.window >= 0, "width and window are sizes"),
            (0 < low < high, "lambdas are the lowest and the highest"),
            (self.per_level > 0, "per_level is a factor"),
            (
                bool(self.features) and min(self.features) >= 0 < self.features[-1],
                "features are weights, the last one above 0",
            ),
            (0 <= self.alone <= 1, "alone is a share"),
            (
                self.profile == "machine" or not (self.encoder or self.hyper),
                "encoder and hyper are empty where layers share a latent, in the profile scalable",
            ),
            (
                self.profile == "machine" or self.predictor != NONE,
                "a layer in the profile scalable needs a predictor",
            ),
            (
                bool(self.encoder or self.decoder or self.hyper or self.predictor != NONE),
                "there is nothing to train",
            ),
            (
                self.predictor != NONE or self.alone == 0,
                "alone is the predictor's share, and there is none",
            ),
        ):
            if not holds:
                raise UsageError(f"recipe: {message}")


class Trained(nn.Module):
    """The trained parts: a mask predictor, or none, and adapters of some stages."""

    def __init__(self, coder: Coder, recipe: TaskRecipe, input_side: int) -> None:
        super().__init__()
        codec = coder.codec
        self.predictor: LogitNet | None = None
        if recipe.predictor != NONE:
            channels = codec.latent_channels
            self.predictor = predictors.create(recipe.predictor, channels, input_side)
        places = {"encoder": codec.encoder_channels, "decoder": codec.decoder_channels}
        chosen = {"encoder": recipe.encoder, "decoder": recipe.decoder}
        self.stages = {side: len(every) for side, every in places.items()}
        sides = nn.ModuleDict()
        for side, every in places.items():
            if not all(0 <= stage < len(every) for stage in chosen[side]):
                raise UsageError(f"recipe: the {side}'s stages are 0 to {len(every) - 1}")
            sides[side] = _adapters({i: every[i] for i in chosen[side]}, recipe)
        self.sides = sides
        self.hyper: nn.ModuleDict | None = None
        if recipe.hyper:
            analysis = _adapters(dict(enumerate(latents.hyper_places(codec)[1])), recipe)
            synthesis = _adapters(dict(enumerate(coder.twin.hidden)), recipe)
            self.hyper = nn.ModuleDict({"analysis": analysis, "synthesis": synthesis})

    def adapters(self, side: str) -> list[Adapter | None]:
        """An adapter, or none, for each stage of the "encoder" or "decoder"; [] where all are none.

        An empty list is no adapters at all.
        """
        chosen = cast("nn.ModuleDict", self.sides[side])
        if not len(chosen):
            return []
        every = (dict(chosen.items()).get(str(i)) for i in range(self.stages[side]))
        return [cast("Adapter | None", adapter) for adapter in every]

    def hyper_adapters(self) -> HyperAdapters | None:
        """Those of the hyper path, or None."""
        if self.hyper is None:
            return None
        analysis, synthesis = (
            [cast("Adapter", adapter) for adapter in cast("nn.ModuleDict", part).values()]
            for part in (self.hyper["analysis"], self.hyper["synthesis"])
        )
        return HyperAdapters(analysis, synthesis)

    def adapter_parameters(self) -> list[nn.Parameter]:
        """All parameters but the predictor's."""
        parts = [self.sides] if self.hyper is None else [self.sides, self.hyper]
        return [parameter for part in parts for parameter in part.parameters()]


def _adapters(channels: dict[int, int], recipe: TaskRecipe) -> nn.ModuleDict:
    return nn.ModuleDict(
        {str(i): create(recipe.kind, c, recipe.width, recipe.window) for i, c in channels.items()}
    )


def select(logits: Tensor, noisy: bool) -> Tensor:
    """Hard selection in {0,1} with the gradient of its soft one (Gumbel-softmax of two classes)."""
    if noisy:
        uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
        logits = logits + torch.log(uniform) - torch.log1p(-uniform)
    soft = torch.sigmoid(logits)
    return (soft > 0.5).float() + soft - soft.detach()


def layer_mask(trained: Trained, latent: Latent, batch: Draw, noisy: bool) -> Tensor:
    """The elements [B,M,h,w] that a layer holds, 0 or 1: those coded, or what is predicted."""
    if trained.predictor is None:
        return latent.coded
    mean, index = latent.mean.detach(), latent.index
    logits = trained.predictor(mean, index, batch.quality, batch.level, batch.size_classes)
    return select(logits, noisy) * latent.coded


def layer_bpp(latent: Latent, mask: Tensor, batch: Draw) -> Tensor:
    """Bits per pixel [B] of side information and what a layer holds."""
    bits = (mask * latent.bits).flatten(1).sum(1) + latent.side_bits
    return bits / batch.x[0, 0].numel()


class Run(task.TaskRun):
    """A training run of a bundle on a frozen base codec."""

    kind = "adapter"
    recipe: TaskRecipe
    trained: Trained
    average: Trained

    def __init__(
        self, codec: BaseCodec, recipe: TaskRecipe, features: Features, side: int = INPUT_SIDE
    ) -> None:
        """Start anew; `features` gives what the recognition network sees of pictures.

        `side` is the long side of that network's input, 0 where it takes any size.
        """
        torch.manual_seed(recipe.seed)
        self.coder = Coder(codec)
        trained = Trained(self.coder, recipe, side or INPUT_SIDE)
        super().__init__(recipe, trained, codec.device)
        self.codec = codec
        self.training_distortion = Distortion(features, recipe.bfloat16, recipe.features)
        self.distortion = Distortion(features, weights=recipe.features)
        named = list(self.trained.named_parameters())
        tables = [p for name, p in named if "_condition." in name]
        encoder = [p for name, p in named if name.startswith("sides.encoder.")]
        taken = {*map(id, tables), *map(id, encoder)}
        rest = [p for _, p in named if id(p) not in taken]
        groups: list[dict[str, Any]] = [
            {"params": tables, "peak": recipe.table_peak},
            {"params": encoder, "peak": recipe.encoder_peak},
            {"params": rest, "peak": recipe.peak},
        ]
        self.optimizers = [torch.optim.Adam([group for group in groups if group["params"]])]
        self.clipped = tables + encoder + rest

    @property
    def ends(self) -> Sequence[float]:
        """Lambdas of the lowest and the highest quality, at level 2."""
        return self.recipe.lambdas

    def identity(self) -> dict[str, str]:
        """Kind and base codec."""
        return {**super().identity(), "base": self.codec.fingerprint.hex()}

    def phase(self) -> Hashable:
        """Whether adapters learn too."""
        return self.done >= self.recipe.alone

    def terms(self, crops: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Rate of a layer's symbols and distortion of the features."""
        trained, recipe = self.trained, self.recipe
        adapted = bool(self.phase())
        for parameter in trained.adapter_parameters():
            parameter.requires_grad_(adapted)
        levels = trained.predictor is not None
        random = np.random.default_rng((recipe.seed, self.steps))
        batch = task.draw(crops, random, levels)
        encoder, decoder, hyper = self._parts(trained) if adapted else ((), (), None)
        latent = self.coder.estimate(batch.x, batch.quality, encoder, hyper)
        mask = layer_mask(trained, latent, batch, noisy=True)
        decoded = self.codec.synthesis(latent.values(mask), decoder)
        distortion = self.training_distortion(decoded, batch)
        bpp = layer_bpp(latent, mask, batch)
        weight = losses.task_lambda(batch.quality, batch.level, recipe.lambdas, recipe.per_level)
        loss = (task.sample_weights(weight) * (bpp + weight * distortion)).mean()
        terms = {"bpp": bpp, "distortion": distortion}
        if levels:
            terms["fill"] = mask.sum((1, 2, 3)) / latent.coded.sum((1, 2, 3)).clamp_min(1)
        return loss, terms

    @staticmethod
    def _parts(
        trained: Trained,
    ) -> tuple[list[Adapter | None], list[Adapter | None], HyperAdapters | None]:
        return trained.adapters("encoder"), trained.adapters("decoder"), trained.hyper_adapters()

    def measure(self, batch: Draw) -> Measured:
        """Bits per pixel and distortion of the averaged weights, in the coder's integers.

        With adapters in the hyper path there are none: then it is an estimate in floats.
        """
        encoder, decoder, hyper = self._parts(self.average)
        if hyper is None:
            latent = self.coder.exact(batch.x, batch.quality, encoder)
        else:
            latent = self.coder.estimate(batch.x, batch.quality, encoder, hyper, noisy=False)
        mask = layer_mask(self.average, latent, batch, noisy=False)
        return self._measured(latent, mask, batch, decoder)

    def measure_start(self, batch: Draw) -> Measured:
        """The same of the base codec, all of its symbols."""
        latent = self.coder.exact(batch.x, batch.quality)
        return self._measured(latent, latent.coded, batch, [])

    def _measured(
        self, latent: Latent, mask: Tensor, batch: Draw, decoder: Sequence[Adapter | None]
    ) -> Measured:
        decoded = self.codec.synthesis(latent.values(mask), decoder)
        return layer_bpp(latent, mask, batch), self.distortion(decoded.clamp(0, 1), batch)


@dataclass(frozen=True)
class Start:
    """Weights to begin with, as `Trained` has them; their name, licence and predictor's kind."""

    weights: Mapping[str, Tensor]
    name: str
    licence: str = ""
    predictor: str = NONE

    def fitting(self, predictor: str, channels: int) -> Mapping[str, Tensor]:
        """Those for a recipe's kind of predictor: tables of another kind mean other things.

        A light predictor of a latent with fewer channels is widened.
        """
        part = {k: v for k, v in self.weights.items() if k.startswith(_PREDICTOR)}
        rest = {k: v for k, v in self.weights.items() if k not in part}
        if predictor != self.predictor:
            return rest
        state = {k.removeprefix(_PREDICTOR): v for k, v in part.items()}
        if predictor == "light" and len(state["slope"]) < channels:
            state = light.widened(state, channels)
        return rest | {f"{_PREDICTOR}{k}": v for k, v in state.items()}


def start_with(path: Path, name: str, base: Reference, profile: str) -> Start:
    """The state in a run's folder or, where there is none, a bundle ("det-1", a task's newest).

    Of several bundles one for this base codec, then one of this profile. UsageError where there is
    neither, FormatError for a damaged file.
    """
    if not (path / loop.STATE).exists() and (found := _bundle(name, base, profile)):
        return found
    if not path.exists():
        raise UsageError(f"{name}: neither a run's folder nor a bundle; see icmh models list")
    state = loop.read_state(path / loop.STATE)
    kind = state["recipe"].get("predictor", NONE)
    return Start(state["average"], path.resolve().name, predictor=kind)


def _bundle(name: str, base: Reference, profile: str) -> Start | None:
    def fits(about: Mapping[str, str]) -> tuple[bool, bool, int]:
        same = about["base_fingerprint"] == base.fingerprint.hex()
        return same, about.get("profile") == profile, bundles.version(about["id"])

    every = [(path, about) for path, about in bundles.available()
             if name in (about["task"], about["id"])]  # fmt: skip
    if not every:
        return None
    best = max((about for _, about in every), key=fits)
    own = ("id", "profile", "base_fingerprint")
    parts = [bundles.read(path)[0] for path, about in every
             if all(about.get(key) == best.get(key) for key in own)]  # fmt: skip
    weights: dict[str, Tensor] = {}
    predictor = NONE
    for part in parts:
        if part.kind == "predictor":
            predictor = predictors.kind_of(part.tensors)
            weights |= _predictor_weights(predictor, part.tensors)
        else:
            weights |= {f"sides.{k}": v.float() for k, v in part.tensors.items()
                        if v.is_floating_point()}  # fmt: skip
    licence = next((part.metadata["licence"] for part in parts if "licence" in part.metadata), "")
    called = f"{best['id']} {best.get('profile', '')}".strip()
    return Start(weights, called, licence, predictor)


def _predictor_weights(kind: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In floats, of the kind whose integers can be undone; FormatError for damaged ones."""
    predictors.load(tensors)
    if kind != "light":
        return {}
    return {f"{_PREDICTOR}{k}": v for k, v in light.weights(tensors).items()}


def export(run: Run, task_name: str, name: str, details: dict[str, str]) -> list[ModelFile]:
    """The files of a bundle's averaged weights, a predictor's and an adapter's where it has them.

    `details` name data, licence and the like. Integers are derived from the float16 weights that
    are exported. UsageError for adapters in the hyper path: no integers can stand for them.
    """
    average = run.average
    if average.hyper is not None:
        raise UsageError("adapters in the hyper path cannot be exported: h_s must stay exact")
    shared = {
        "id": name,
        "task": task_name,
        "profile": run.recipe.profile,
        "base": run.codec.id,
        "base_fingerprint": run.codec.fingerprint.hex(),
        **task.provenance(run.steps, run.seconds, run.recipe, run.about),
        **details,
    }
    models = []
    if average.predictor is not None:
        tensors = predictors.export(average.predictor)
        models.append(ModelFile({**shared, "kind": "predictor", "roles": "predictor"}, tensors))
    sides = {side: average.adapters(side) for side in ("encoder", "decoder")}
    sides = {side: stages for side, stages in sides.items() if stages}
    if sides:
        metadata = {**shared, "kind": "adapter", "roles": ", ".join(sides)}
        models.append(ModelFile(metadata, export_stages(sides)))
    return models
