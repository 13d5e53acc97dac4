"""Training of a task's mask predictor and decoder-side adapters on a frozen base codec."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
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
from icmhcodec.errors import UsageError
from icmhcodec.masks.predictor import LEVELS, LONG_SIDES, PredictorNet, export_predictor
from icmhcodec.modelfile import ModelFile
from icmhcodec.training import losses, photos

SCALE_TABLE = torch.tensor(scale_table())
# Factor by which the detector's preprocessing shrinks a picture of each size class.
SHRINK = tuple(2.0 ** (-k / 4) for k in range(len(LONG_SIDES) + 1))


@dataclass(frozen=True)
class Recipe:
    """What a run does; the schedule is over wall time and decays to zero.

    `stages` counts the decoder's adapters from the latent's side: the last stage works at half
    the picture's size and alone costs more than the two before it.
    """

    minutes: float = 60.0
    batch: int = 8
    crop: int = 256
    rate: float = 1e-3  # Adam's peak
    table_rate: float = 5e-3  # the same for the tables of conditions, which start as constants
    alone: float = 0.35  # share of the time in which only the predictor learns
    average: float = 0.998
    stages: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """What a run reports: share done, steps, and means since the last report."""

    done: float
    steps: int
    bpp: float
    distortion: float
    loss: float
    fill: float
    seconds_left: float
    held_out: float | None


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


def draw(
    paths: list[Path], recipe: Recipe, random: np.random.Generator, device: torch.device
) -> Draw:
    """A random batch with qualities and levels spread evenly."""
    spread = (random.permutation(recipe.batch) + random.random(recipe.batch)) / recipe.batch
    return Draw(
        photos.batch(paths, recipe.batch, recipe.crop, random).to(device),
        torch.from_numpy(spread).float().to(device) * 9,
        torch.from_numpy(random.integers(1, LEVELS + 1, recipe.batch)).to(device),
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


class Run:
    """A training run and all of its state, so that it can go on where it stopped."""

    def __init__(self, codec: BaseCodec, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.codec = codec
        self.random = np.random.default_rng(recipe.seed)
        self.trained = Trained(codec, recipe.stages).to(codec.device)
        self.average = copy.deepcopy(self.trained).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self._parameter_groups())
        self.steps = 0
        self.done = 0.0

    def _parameter_groups(self) -> list[dict[str, Any]]:
        named = list(self.trained.named_parameters())
        tables = [p for name, p in named if "_condition." in name]
        rest = [p for name, p in named if "_condition." not in name]
        return [
            {"params": tables, "peak": self.recipe.table_rate},
            {"params": rest, "peak": self.recipe.rate},
        ]

    def save(self, path: Path) -> None:
        """Write the whole state, atomically."""
        state = {
            "base": self.codec.fingerprint.hex(),
            "trained": self.trained.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": self.random.bit_generator.state,
            "torch_random": torch.get_rng_state(),
            "steps": self.steps,
            "done": self.done,
        }
        temporary = path.with_name(path.name + ".part")
        torch.save(state, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a saved state; UsageError if it is of another base codec."""
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["base"] != self.codec.fingerprint.hex():
            raise UsageError(f"{path}: this run trains on another base codec; start a new folder")
        self.trained.load_state_dict(state["trained"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.random.bit_generator.state = state["random"]
        torch.set_rng_state(state["torch_random"])
        self.steps, self.done = state["steps"], state["done"]

    def step(self, features: Features, paths: list[Path]) -> dict[str, float]:
        """One update; returns the batch's mean loss, bits per pixel, distortion and fill."""
        recipe = self.recipe
        factor = min(1.0, (self.done + 1e-3) / 0.02) * min(1.0, (1 - self.done) / 0.8)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        adapted = self.done >= recipe.alone
        self.trained.decoder.requires_grad_(adapted)
        batch = draw(paths, recipe, self.random, self.codec.device)
        terms = costs(self.trained, self.codec, features, batch, adapted=adapted, noisy=True)
        # Samples weigh as their lambda's inverse square root: gradients differ by as much.
        weight = losses.task_lambda(batch.level, batch.quality).rsqrt()
        self.optimizer.zero_grad(set_to_none=True)
        (weight / weight.mean() * terms[0]).mean().backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.trained.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.steps += 1
        decay = min(recipe.average, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.trained.parameters()), 1 - decay
            )
        names = ("loss", "bpp", "distortion", "fill")
        return {name: term.mean().item() for name, term in zip(names, terms, strict=True)}

    @torch.no_grad()
    def held_out_loss(self, features: Features, batches: Sequence[Draw]) -> float:
        """Mean loss of the averaged weights on fixed batches, without noise."""
        values = [
            costs(self.average, self.codec, features, batch, adapted=True, noisy=False)[0]
            for batch in batches
        ]
        return torch.cat(values).mean().item()


def train(
    run: Run,
    features: Features,
    folder: Path,
    state: Path,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Train until the schedule ends or `stopped` says so; the state is saved every minute.

    `report` is called about every ten seconds, with the held-out loss once a minute. Resuming a
    saved state continues its schedule.
    """
    recipe = run.recipe
    training, held_out = photos.find_photos(folder, recipe.crop)
    fixed = np.random.default_rng(1)
    batches = [draw(held_out, recipe, fixed, run.codec.device) for _ in range(2)]
    begun, start = run.done, time.monotonic()
    shown = saved = start
    log: list[dict[str, float]] = []
    while run.done < 1 and not stopped():
        log.append(run.step(features, training))
        now = time.monotonic()
        run.done = min(1.0, begun + (now - start) / (60 * recipe.minutes))
        held = None
        if now - saved > 60 or run.done >= 1:
            run.save(state)
            held = run.held_out_loss(features, batches)
            saved = now
        if now - shown > 10 or held is not None:
            means = {name: sum(row[name] for row in log) / len(log) for name in log[0]}
            left = (1 - run.done) * 60 * recipe.minutes
            report(Progress(run.done, run.steps, seconds_left=left, held_out=held, **means))
            log, shown = [], now
    run.save(state)


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
