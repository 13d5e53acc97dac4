"""Full fine-tuning of a base codec for a task: what adapters are measured against.

All transforms and the entropy parameters learn; what comes out is a base codec of its own, whose
pictures are for machines alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.codecs import registry
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.codecs.export import export_base
from icmhcodec.errors import UsageError
from icmhcodec.training import base, losses, network, task
from icmhcodec.training.network import Network
from icmhcodec.training.recipe import BaseRecipe
from icmhcodec.training.task import Distortion, Draw, Features, Measured


class Run(task.TaskRun, base.Run):
    """A training run of a whole base codec on a recognition network's features.

    Curves are by the model's own likelihoods, of rounded symbols: its integers are made at the end.
    """

    kind = "full"
    recipe: BaseRecipe
    trained: Network
    average: Network

    def __init__(self, codec: BaseCodec, recipe: BaseRecipe, features: Features) -> None:
        """Start from a base codec's weights; FormatError where they are not a gained hyperprior."""
        path = dict(registry.available()).get(codec.id)
        if path is None:
            raise UsageError(f"{codec.id}: its weights file is not here, and it is trained on")
        low, high = recipe.lambdas
        tensors = modelfile.read(path).tensors
        self._start = network.from_tensors(tensors, (low, high)).to(codec.device)
        start = network.from_tensors(tensors, (low, high))
        super().__init__(replace(recipe, skip=codec.default_skip), codec.device, start)
        self.base, self.distortion = codec, Distortion(features)

    @property
    def ends(self) -> Sequence[float]:
        """Lambdas of the lowest and the highest quality."""
        return self.recipe.lambdas

    def identity(self) -> dict[str, str]:
        """Kind and base codec."""
        return {**super().identity(), "base": self.base.fingerprint.hex()}

    def terms(self, crops: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Rate and lambda times distortion of the features, each sample weighed by its lambda."""
        recipe = self.recipe
        random = np.random.default_rng((recipe.seed, self.steps))
        batch = task.draw(crops, random, levels=False)
        shapes = self.trained.noise_shapes(len(crops), crops.shape[-1])
        noise = (_noise(shapes[0], self.device), _noise(shapes[1], self.device))
        bfloat16 = bool(self.phase())
        x = crops.bfloat16() if bfloat16 else crops
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            decoded, y_bpp, z_bpp = self.model(x, batch.quality, noise, self.skip)
        distortion, bpp = self.distortion(decoded, batch), y_bpp + z_bpp
        weight = losses.task_lambda(batch.quality, batch.level, self.ends, 1.0)
        loss = (task.sample_weights(weight) * (bpp + weight * distortion)).mean()
        return loss, {"bpp": bpp, "distortion": distortion}

    def measure(self, batch: Draw) -> Measured:
        """Bits per pixel and distortion of the averaged weights, in float32."""
        return self._measured(self.average, batch)

    def measure_start(self, batch: Draw) -> Measured:
        """The same of the base codec."""
        return self._measured(self._start, batch)

    def _measured(self, model: Network, batch: Draw) -> Measured:
        decoded, y_bpp, z_bpp = model(batch.x, batch.quality, None, self.skip)
        return y_bpp + z_bpp, self.distortion(decoded.clamp(0, 1), batch)


def _noise(shape: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.rand(shape, device=device) - 0.5


def export(run: Run, name: str, details: dict[str, str], path: Path) -> None:
    """Write the averaged weights as a base codec's file."""
    described = task.provenance(run.steps, run.seconds, run.recipe, run.about)
    init = {"init": run.base.id}
    export_base(run.average.state_dict(), name, described | init | details, path, run.recipe.skip)
