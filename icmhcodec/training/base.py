"""Training of a base codec: all rates at once, additive noise, an average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from icmhcodec.errors import UsageError
from icmhcodec.training import evaluate, loop, network, processes
from icmhcodec.training.loop import Validation
from icmhcodec.training.network import LEVELS, Network
from icmhcodec.training.optimisers import KERNEL_OPTIMISERS, adam, is_kernel
from icmhcodec.training.recipe import BaseRecipe

PEAK = 255.0**2  # lambdas are for errors of pixels in 0 to 255
PRIOR_STEP, PRIOR_EVERY = 0.02, 5  # how far and how often medians and tails follow


class Run(loop.Run):
    """A training run of a base codec."""

    kind = "base"
    recipe: BaseRecipe
    trained: Network
    average: Network

    def __init__(self, recipe: BaseRecipe, device: torch.device, start: Network | None = None):
        """Start from given weights, or anew; UsageError if processes cannot share a batch."""
        if recipe.batch % processes.count():
            raise UsageError(
                f"recipe: a batch of {recipe.batch} does not part into {processes.count()}"
            )
        torch.manual_seed(recipe.seed)
        N, M, *inner = recipe.channels
        trained = start or Network(
            N, M, self._lambdas(recipe), (inner[0], inner[1]) if inner else None
        )
        trained.couple(recipe.coupling)
        channels = trained.hyper_channels, trained.latent_channels, *trained.inner_channels
        super().__init__(replace(recipe, channels=channels), trained, device)
        self.skip = network.skip_scale(recipe.skip)
        self._set_optimizers()
        self.note = ""  # why it is not compiled, where it should be
        model: Callable[..., Any] = self.trained
        if recipe.compile:
            model, self.note = loop.compiled(self.trained, device)
        if processes.count() > 1:
            assert isinstance(model, nn.Module)
            model = DistributedDataParallel(model, forward_sync_buffers=False)
        self.model = model

    @staticmethod
    def _lambdas(recipe: BaseRecipe) -> tuple[float, float]:
        return recipe.lambdas[0], recipe.lambdas[1]

    def _set_optimizers(self) -> None:
        kernels: list[nn.Parameter] = []
        prior: list[nn.Parameter] = []
        couplings: list[nn.Parameter] = []
        tables: list[nn.Parameter] = []
        for name, parameter in self.trained.named_parameters():
            if name.startswith("eb."):
                prior.append(parameter)
            elif name.endswith("gamma"):
                couplings.append(parameter)
            else:
                (kernels if is_kernel(parameter) else tables).append(parameter)
        recipe = self.recipe
        self.clipped = tables + couplings + prior
        rest = adam([{"params": p} for p in (tables, couplings, prior)], recipe.table_rate)
        matrices = KERNEL_OPTIMISERS[recipe.optimiser](kernels, lr=recipe.kernel_rate)
        self.optimizers = [rest, matrices]
        slow = recipe.table_rate, recipe.coupling_rate, recipe.prior_rate
        peaks = slow, (recipe.kernel_rate,)
        for optimizer, rates in zip(self.optimizers, peaks, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["peak"] = rate

    def phase(self) -> Hashable:
        """Whether steps are in bfloat16."""
        return self.recipe.bfloat16 and self.done < 1 - self.recipe.float32_share

    def terms(self, crops: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Rate and lambda times squared error, each sample weighed by its lambda."""
        recipe, count = self.recipe, len(crops)
        part = slice(processes.rank() * count, (processes.rank() + 1) * count)
        random = np.random.default_rng((recipe.seed, self.steps))
        spread = (random.permutation(recipe.batch) + random.random(recipe.batch)) / recipe.batch
        every = torch.from_numpy(spread).float().to(self.device) * (LEVELS - 1)
        shapes = self.trained.noise_shapes(recipe.batch, crops.shape[-1])
        noise = tuple((torch.rand(shape, device=self.device) - 0.5)[part] for shape in shapes)
        bfloat16 = bool(self.phase())
        x = crops.bfloat16() if bfloat16 else crops
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            decoded, y_bpp, z_bpp = self.model(x, every[part], noise, self.skip)
        error = (decoded - crops).pow(2).flatten(1).mean(1)
        bpp = y_bpp + z_bpp
        cost = self.lambdas(every[part]) * PEAK * error + bpp
        loss = (self.weights(every)[part] * cost).mean()
        return loss, {"bpp": bpp, "psnr": -10 * torch.log10(error)}

    def lambdas(self, quality: Tensor) -> Tensor:
        """Lambdas of qualities."""
        low, high = self._lambdas(self.recipe)
        return low * torch.exp(quality / (LEVELS - 1) * math.log(high / low))

    def weights(self, quality: Tensor) -> Tensor:
        """Weights of qualities [n], 1 in the mean: gradients differ by as much without them."""
        weights = self.lambdas(quality) ** -self.recipe.weight_power
        return weights / weights.mean()

    def settle(self) -> None:
        """Let the prior's medians and tails follow it."""
        if self.steps % PRIOR_EVERY == 0:
            self.trained.eb.follow(PRIOR_STEP * self.recipe.rate(self.done))

    def validate(self, crops: Tensor) -> Validation:
        """Loss and points of the averaged weights, in float32."""
        return self.validate_pictures([crop[None] for crop in crops])

    def validate_pictures(self, pictures: Iterable[Tensor]) -> Validation:
        """The same over pictures, uint8 [1,H,W,3] of any size."""
        qualities = evaluate.QUALITIES
        curve = evaluate.curve(self.average, pictures, qualities, self.skip)
        quality = torch.tensor(qualities, device=self.device)
        mse = torch.tensor([10 ** (-point.psnr / 10) for point in curve], device=self.device)
        bpp = torch.tensor([point.bpp for point in curve], device=self.device)
        cost = self.lambdas(quality) * PEAK * mse + bpp
        return Validation(float((self.weights(quality) * cost).mean()), curve)
