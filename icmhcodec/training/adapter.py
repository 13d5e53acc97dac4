"""Training of a task's mask predictor and decoder-side adapters on a frozen base codec."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec import __version__
from icmhcodec.adapters.sfma import SFMA, export_stages, stage_adapters
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.entropy.model import MEAN_BITS
from icmhcodec.entropy.tables import scale_table
from icmhcodec.masks.predictor import LEVELS, LONG_SIDES, PredictorNet, export_predictor
from icmhcodec.modelfile import ModelFile
from icmhcodec.training import loop, losses, photos, recipe
from icmhcodec.training.loop import Validation

SCALE_TABLE = torch.tensor(scale_table())
# Factor by which the detector's preprocessing shrinks a picture of each size class.
SHRINK = tuple(2.0 ** (-k / 4) for k in range(len(LONG_SIDES) + 1))


@dataclass(frozen=True)
class Recipe(recipe.Recipe):
    """How a bundle is trained.

    `stages` counts the decoder's adapters from the latent's side: the last stage works at half
    the picture's size and alone costs more than the two before it.
    """

    decay: float = 0.8
    turn: bool = False
    average: float = 0.998
    peak: float = 1e-3  # Adam's
    table_peak: float = 5e-3  # the same for the tables of conditions, which start as constants
    alone: float = 0.35  # share of the time in which only the predictor learns
    stages: int = 2


class Trained(nn.Module):
    """The trained parts: a mask predictor and one adapter per decoder stage."""

    def __init__(self, codec: BaseCodec, stages: int) -> None:
        super().__init__()
        self.predictor = PredictorNet(codec.latent_channels)
        self.decoder = stage_adapters(codec.decoder_channels[:stages])
        self.without = len(codec.decoder_channels) - stages

    def adapters(self) -> list[SFMA | None]:
        """An adapter, or none, for each of the decoder's stages."""
        return [*cast("Iterable[SFMA]", self.decoder), *[None] * self.without]


@torch.no_grad()
def latents(codec: BaseCodec, x: Tensor, quality: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Symbols, means, scale indexes [B,M,H,W], inverse gains [B,M,1,1], as the coder has them."""
    gains = [codec.gains(int(q * 256)) for q in quality]
    gain = torch.stack([g for g, _ in gains])[:, :, None, None]
    inverse = torch.stack([i for _, i in gains])[:, :, None, None]
    y = codec.analysis(x).float() * gain
    z = codec.hyper_analysis(y).float()
    parameters = [codec.entropy.parameters(codec.entropy.hyper_symbols(one)) for one in z]
    mean = torch.stack([m for m, _ in parameters]).to(y.device).float() / 2**MEAN_BITS
    index = torch.stack([i for _, i in parameters]).to(y.device).long()
    symbols = torch.round(y - mean)
    return symbols, mean, index, inverse


def select(logits: Tensor, noisy: bool) -> Tensor:
    """Hard selection in {0,1} with the gradient of its soft one (Gumbel-softmax of two classes)."""
    if noisy:
        uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
        logits = logits + torch.log(uniform) - torch.log1p(-uniform)
    soft = torch.sigmoid(logits)
    return (soft > 0.5).float() + soft - soft.detach()


@dataclass(frozen=True)
class Draw:
    """One batch: crops [B,3,S,S], qualities [B], levels [B] and one size class."""

    x: Tensor
    quality: Tensor
    level: Tensor
    size_class: int


def draw(x: Tensor, random: np.random.Generator) -> Draw:
    """Crops with random qualities and levels, the qualities spread evenly."""
    count = len(x)
    spread = (random.permutation(count) + random.random(count)) / count
    return Draw(
        x,
        torch.from_numpy(spread).float().to(x.device) * 9,
        torch.from_numpy(random.integers(1, LEVELS + 1, count)).to(x.device),
        int(random.integers(len(SHRINK))),
    )


def seen_by_network(x: Tensor, size_class: int) -> Tensor:
    """The crop as the network's preprocessing shows it: shrunk, sides multiples of 32."""
    side = max(64, round(x.shape[-1] * SHRINK[size_class] / 32) * 32)
    if side == x.shape[-1]:
        return x
    return F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)


Features = Callable[[Tensor], Sequence[Tensor]]


def costs(
    trained: Trained,
    codec: BaseCodec,
    features: Features,
    batch: Draw,
    *,
    adapted: bool,
    noisy: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(loss, bits per pixel, distortion, fill), each [B], of a batch's masked latents.

    `adapted` runs the decoder with its adapters, `noisy` samples the masks.
    """
    symbols, mean, index, inverse = latents(codec, batch.x, batch.quality)
    size_class = torch.full_like(batch.level, batch.size_class)
    logits = trained.predictor(mean, index, batch.quality, batch.level, size_class)
    coded = index >= codec.default_skip
    mask = select(logits, noisy) * coded
    bits = losses.gaussian_bits(symbols, SCALE_TABLE.to(index.device)[index])
    bpp = (mask * bits).flatten(1).sum(1) / batch.x[0, 0].numel()
    adapters = trained.adapters() if adapted else ()
    decoded = codec.synthesis((mean + mask * symbols) * inverse, adapters)
    with torch.no_grad():
        original = features(seen_by_network(batch.x, batch.size_class))
    distortion = losses.feature_distortion(
        features(seen_by_network(decoded, batch.size_class)), original
    )
    loss = bpp + losses.task_lambda(batch.level, batch.quality) * distortion
    fill = (mask.sum((1, 2, 3)) / coded.sum((1, 2, 3)).clamp_min(1)).detach()
    return loss, bpp, distortion, fill


class Run(loop.Run):
    """A training run of a bundle on a frozen base codec."""

    kind = "adapter"
    recipe: Recipe
    trained: Trained
    average: Trained

    def __init__(self, codec: BaseCodec, recipe: Recipe, features: Features) -> None:
        """Start anew; `features` gives what the recognition network sees of pictures."""
        torch.manual_seed(recipe.seed)
        super().__init__(recipe, Trained(codec, recipe.stages), codec.device)
        self.codec, self.features = codec, features
        named = list(self.trained.named_parameters())
        tables = [p for name, p in named if "_condition." in name]
        rest = [p for name, p in named if "_condition." not in name]
        groups: list[dict[str, Any]] = [
            {"params": tables, "peak": recipe.table_peak},
            {"params": rest, "peak": recipe.peak},
        ]
        self.optimizers = [torch.optim.Adam(groups)]
        self.clipped = tables + rest

    def identity(self) -> dict[str, str]:
        """Kind and base codec."""
        return {**super().identity(), "base": self.codec.fingerprint.hex()}

    def phase(self) -> Hashable:
        """Whether the decoder's adapters learn too."""
        return self.done >= self.recipe.alone

    def terms(self, crops: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Rate of the masked symbols and distortion of the features."""
        adapted = bool(self.phase())
        self.trained.decoder.requires_grad_(adapted)
        batch = draw(crops, np.random.default_rng((self.recipe.seed, self.steps)))
        cost, bpp, distortion, fill = costs(
            self.trained, self.codec, self.features, batch, adapted=adapted, noisy=True
        )
        # Samples weigh as their lambda's inverse square root: gradients differ by as much.
        weight = losses.task_lambda(batch.level, batch.quality).rsqrt()
        loss = (weight / weight.mean() * cost).mean()
        return loss, {"bpp": bpp, "distortion": distortion, "fill": fill}

    @torch.no_grad()
    def validate(self, crops: Tensor) -> Validation:
        """Mean loss of the averaged weights on crops, each twice, without noise."""
        random = np.random.default_rng(1)
        x = photos.to_input(crops, self.device)
        starts = range(0, len(x), self.recipe.batch)
        parts = [x[k : k + self.recipe.batch] for k in starts]
        batches = [draw(part, random) for _ in range(2) for part in parts]
        values = [
            costs(self.average, self.codec, self.features, batch, adapted=True, noisy=False)[0]
            for batch in batches
        ]
        return Validation(torch.cat(values).mean().item())


def export(run: Run, task: str, name: str, details: dict[str, str]) -> list[ModelFile]:
    """The predictor's and the adapter's file of the averaged weights; `details` name data, licence.

    Integers are derived from the float16 weights that are exported.
    """
    shared = {
        "id": name,
        "task": task,
        "profile": "scalable",
        "base": run.codec.id,
        "base_fingerprint": run.codec.fingerprint.hex(),
        "recipe": ", ".join(f"{key} {value}" for key, value in asdict(run.recipe).items()),
        "steps": str(run.steps),
        "icmh": __version__,
        **details,
    }
    predictor = {k: v.contiguous() for k, v in export_predictor(run.average.predictor).items()}
    adapter = export_stages({"decoder": run.average.adapters()})
    return [
        ModelFile({**shared, "kind": "predictor", "roles": "predictor"}, predictor),
        ModelFile({**shared, "kind": "adapter", "roles": "decoder"}, adapter),
    ]
