"""Training of a task adapter: EAC's psi between the decoded picture and the task's network.

It is a second stage: base codec, predictor and adapters of a trained bundle are frozen, and
pictures come from the very integers that a decoder has (arXiv 2501.04329, section III-C).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from icmhcodec.adapters.contract import Adapter
from icmhcodec.adapters.kinds import load_stages
from icmhcodec.adapters.picture import PREFIX, TaskAdapter, export_task_adapter
from icmhcodec.codecs.contract import QUALITY_UNIT, BaseCodec
from icmhcodec.errors import UsageError
from icmhcodec.masks import kinds as predictors
from icmhcodec.masks.predictor import INPUT_SIDE, Condition
from icmhcodec.modelfile import ModelFile, fingerprint
from icmhcodec.training import losses, task
from icmhcodec.training.adapter import layer_bpp
from icmhcodec.training.latents import Coder
from icmhcodec.training.recipe import Recipe
from icmhcodec.training.task import Distortion, Draw, Features, Measured


@dataclass(frozen=True)
class PictureRecipe(Recipe):
    """How a task adapter is trained."""

    minutes: float = 30.0
    decay: float = 0.8
    turn: bool = False
    average: float = 0.998
    lambdas: tuple[float, ...] = (1.5, 60.0)  # they weigh qualities; the rate is what it is
    peak: float = 1e-3  # Adam's
    bfloat16: bool = True  # in the recognition network, for gradients


class Bundle:
    """A trained bundle's frozen parts: adapters of both sides, and its predictor if it has one."""

    def __init__(self, codec: BaseCodec, adapter: ModelFile, predictor: ModelFile | None) -> None:
        """UsageError for a bundle of another base codec, FormatError for damaged files."""
        self.adapter, self.predictor = adapter, None
        for model in (adapter, predictor):
            if model and model.metadata["base_fingerprint"] != codec.fingerprint.hex():
                raise UsageError(f"{model.id}: a bundle of other weights than {codec.id}'s")
        self.encoder, self.decoder = (
            [stage and stage.to(codec.device) for stage in load_stages(adapter.tensors, side, n)]
            for side, n in (
                ("encoder", len(codec.encoder_channels)),
                ("decoder", len(codec.decoder_channels)),
            )
        )
        if predictor is not None:
            self.predictor = predictors.load(predictor.tensors, codec.entropy.device)
        self.fingerprint = "".join(
            fingerprint(model.tensors).hex() for model in (adapter, predictor) if model
        )

    def stages(self, side: str) -> Sequence[Adapter | None]:
        """The adapters of one side, nothing where all are None."""
        stages = self.encoder if side == "encoder" else self.decoder
        return stages if any(stages) else []


class Run(task.TaskRun):
    """A training run of a task adapter on a frozen bundle."""

    kind = "task-adapter"
    recipe: PictureRecipe
    trained: TaskAdapter
    average: TaskAdapter

    def __init__(
        self,
        codec: BaseCodec,
        bundle: Bundle,
        recipe: PictureRecipe,
        features: Features,
        side: int = INPUT_SIDE,
    ) -> None:
        """Start anew; `features` gives what is to stay the same of pictures.

        `side` is the long side of the recognition network's input, 0 where it takes any size.
        """
        torch.manual_seed(recipe.seed)
        super().__init__(recipe, TaskAdapter(), codec.device)
        self.codec, self.bundle, self.side = codec, bundle, side
        self.coder = Coder(codec)
        self.training_distortion = Distortion(features, recipe.bfloat16)
        self.distortion = Distortion(features)
        groups: list[dict[str, Any]] = [
            {"params": list(self.trained.parameters()), "peak": recipe.peak}
        ]
        self.optimizers = [torch.optim.Adam(groups)]
        self.clipped = list(self.trained.parameters())

    @property
    def ends(self) -> Sequence[float]:
        """Lambdas of the lowest and the highest quality, at level 2."""
        return self.recipe.lambdas

    def identity(self) -> dict[str, str]:
        """Kind, base codec and bundle."""
        base = self.codec.fingerprint.hex()
        return {**super().identity(), "base": base, "bundle": self.bundle.fingerprint}

    def terms(self, crops: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Distortion of the features, which alone changes."""
        random = np.random.default_rng((self.recipe.seed, self.steps))
        batch = task.draw(crops, random, self.bundle.predictor is not None)
        decoded, bpp = self._decoded(batch)
        distortion = self.training_distortion(self.trained(decoded), batch)
        weight = losses.task_lambda(batch.quality, batch.level, self.ends, 1.0)
        loss = (task.sample_weights(weight) * weight * distortion).mean()
        return loss, {"bpp": bpp, "distortion": distortion}

    @torch.no_grad()
    def _decoded(self, batch: Draw) -> tuple[Tensor, Tensor]:
        """The task's pictures [B,3,S,S] as its bundle decodes them, and their bits per pixel."""
        bundle = self.bundle
        latent = self.coder.exact(batch.x, batch.quality, bundle.stages("encoder"))
        mask = latent.coded
        if bundle.predictor is not None:
            assert latent.integer_mean is not None
            long_side = task.picture_side(batch.size_class, self.side)
            rows = zip(latent.integer_mean, latent.index, batch.quality, batch.level, strict=True)
            chosen = [
                bundle.predictor(
                    mean, index.byte(), Condition(int(q * QUALITY_UNIT), int(level), long_side)
                )
                for mean, index, q, level in rows
            ]
            mask = mask * torch.stack(chosen).to(mask)
        decoded = self.codec.synthesis(latent.values(mask), bundle.stages("decoder"))
        return decoded.clamp(0, 1), layer_bpp(latent, mask, batch)

    def measure(self, batch: Draw) -> Measured:
        """Bits per pixel and distortion of the averaged weights."""
        decoded, bpp = self._decoded(batch)
        return bpp, self.distortion(self.average(decoded).clamp(0, 1), batch)

    def measure_start(self, batch: Draw) -> Measured:
        """The same of the bundle as it was."""
        decoded, bpp = self._decoded(batch)
        return bpp, self.distortion(decoded, batch)


def export(run: Run, name: str, details: dict[str, str]) -> list[ModelFile]:
    """The bundle's adapter file with the averaged task adapter in it.

    The fingerprint is a new one; the predictor's file, if any, stays as it is.
    """
    tensors: Mapping[str, Tensor] = run.bundle.adapter.tensors
    kept = {k: v for k, v in tensors.items() if not k.startswith(PREFIX)}
    old = run.bundle.adapter.metadata
    roles = [role for role in old.get("roles", "decoder").split(", ") if role != "task adapter"]
    trained = task.provenance(run.steps, run.seconds, run.recipe, run.about)
    second = {f"task_adapter_{key}": value for key, value in (trained | details).items() if value}
    metadata = {**old, **second, "id": name, "roles": ", ".join([*roles, "task adapter"])}
    model = replace(run.bundle.adapter, metadata=metadata)
    return [replace(model, tensors={**kept, **export_task_adapter(run.average)})]
