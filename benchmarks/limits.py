"""What keeps a task's layer from being smaller: its mask, its adapters, its side information.

Crops of pictures that were not trained on, coded in the coder's integers by its tables (bits are
those of the tables, without headers). The rate and the distortion of the network's features are
taken of the layer, of its mask and its adapters alone, and of a mask that no decoder could have,
alone too. That one sees picture and network: it keeps the elements whose loss would move the
features most for the bits that they take, both as expected by their scales, as many bits as the
layer's mask has (Gauss-Newton, the diagonal by random signs). It does not know the symbols: a mask
that leaves out zeros gives away for nothing what others pay for.

    python -m benchmarks.limits
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import click
import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from benchmarks import common
from benchmarks.common import Row
from icmhcodec.adapters import bundles
from icmhcodec.codecs import registry
from icmhcodec.codecs.transforms import Adapters
from icmhcodec.container import Reference
from icmhcodec.masks import kinds
from icmhcodec.masks.predictor import Condition, Predictor
from icmhcodec.pipeline.codec import DEFAULT_BASE
from icmhcodec.pipeline.networks import Networks, reference_of
from icmhcodec.tasks.contract import RecognitionNetwork, load_network
from icmhcodec.training import losses, task
from icmhcodec.training.adapter import PROFILES, layer_bpp
from icmhcodec.training.latents import SCALE_TABLE, Coder, Latent
from icmhcodec.training.loop import Point
from icmhcodec.training.task import Draw

DATA = {
    "cls": common.ROOT.parent / "shared" / "data" / "imagenet_nips17_200",
    "det": common.ROOT.parent / "shared" / "data" / "coco206_val2017",
    "seg": common.ROOT.parent / "shared" / "data" / "coco206_val2017",
}
SUFFIXES = (".jpg", ".png", ".webp")
SIDE = 256
SIZE_CLASS = 2  # of the middle: the network sees the crop at 0.7 of its size
QUALITIES = (0.0, 3.0, 6.0, 9.0)
LEVELS_AT = 3.0  # the quality whose distortion is told for each level of features
PROBES = 4  # random signs for each diagonal
REACH = 4096  # no symbol is larger, as far as expectations go
BASE, LAYER = "base", "layer"
MASK, CHOSEN, ADAPTERS = "mask alone", "mask of the features alone", "adapters alone"
VARIANTS = (LAYER, MASK, CHOSEN, ADAPTERS)


class Bundle:
    """A bundle's networks in the coder's form, and the network that it serves."""

    def __init__(self, networks: Networks, base: str, name: str, profile: str) -> None:
        self.codec = networks.base(base, torch.float32)
        self.coder = Coder(self.codec)
        self.network: RecognitionNetwork[object] = load_network(name)
        reference = reference_of(self.codec)
        self.predictor: Predictor | None = None
        self.encoder: Adapters = ()
        self.decoder: Adapters = ()
        self.parts: list[str] = []
        if found := bundles.find("predictor", name, reference, profile):
            self.predictor = kinds.load(found[0].tensors)
            self._take(found[1])
        if found := bundles.find("adapter", name, reference, profile):
            channels = self.codec.encoder_channels, self.codec.decoder_channels
            self.encoder = networks.stages(found[1], "encoder", channels[0])
            self.decoder = networks.stages(found[1], "decoder", channels[1])
            self._take(found[1])

    def _take(self, reference: Reference) -> None:
        self.parts.append(f"{reference.id} {reference.fingerprint.hex()}")

    def mask(self, latent: Latent, quality: float) -> Tensor:
        """What the layer of level 2 holds of latents at a quality [B,M,h,w], by the integers."""
        if self.predictor is None:
            return latent.coded
        assert latent.integer_mean is not None
        side = task.picture_side(SIZE_CLASS, self.network.side)
        condition = Condition(int(quality * 256), losses.LEVEL, side)
        pairs = zip(latent.integer_mean, latent.index, strict=True)
        found = torch.stack([self.predictor(mean, index, condition) for mean, index in pairs])
        return found.float() * latent.coded

    def features(self, pixels: Tensor) -> list[Tensor]:
        """What the network sees of crops [B,3,S,S], level by level."""
        return self.network.features(task.seen_by_network(pixels, SIZE_CLASS))

    def distortions(self, decoded: Tensor, batch: Draw) -> Tensor:
        """The distortion of each level of features [B,L]."""
        pairs = zip(self.features(decoded.clamp(0, 1)), self.features(batch.x), strict=True)
        return torch.stack([losses.feature_distortion([d], [o]) for d, o in pairs], 1)

    def importance(self, latent: Latent, batch: Draw) -> Tensor:
        """By how much the features would move without each element, squared [B,M,h,w]."""
        values = latent.values(latent.coded).requires_grad_()
        originals = self.features(batch.x)  # each level counts as in the distortion
        levels = [
            level / (original.square().mean() * level[0].numel()).sqrt()
            for level, original in zip(
                self.features(self.codec.synthesis(values)), originals, strict=True
            )
        ]
        total = torch.zeros_like(values)
        for _ in range(PROBES):
            signs = [torch.randint_like(level, 2) * 2 - 1 for level in levels]
            (gradient,) = torch.autograd.grad(levels, values, signs, retain_graph=True)
            total += gradient.square()
        square, _ = expected()
        return total * latent.inverse.square() * square[latent.index]


@lru_cache
def expected() -> tuple[Tensor, Tensor]:
    """Mean squares and mean bits of symbols by their scales' indexes."""
    symbols = torch.arange(-REACH, REACH + 1.0)
    bits = losses.gaussian_bits(symbols[None], SCALE_TABLE[:, None])
    share = torch.exp2(-bits.double())
    return (share @ symbols.double().square()).float(), (share * bits).sum(1).float()


def chosen_mask(latent: Latent, importance: Tensor, mask: Tensor) -> Tensor:
    """The most important elements for their bits, as many bits as `mask` [B,M,h,w] takes."""
    _, bits_of = expected()
    worth = torch.where(latent.coded > 0, importance / bits_of[latent.index], -1.0)
    order = worth.flatten(1).argsort(1, descending=True)
    bits = (latent.bits * latent.coded).double().flatten(1)
    budget = (bits * mask.flatten(1)).sum(1, keepdim=True)
    bits = bits.gather(1, order).cumsum(1)
    kept = torch.zeros_like(bits).scatter(1, order, (bits <= budget + 1e-6).double()).float()
    return kept.view_as(mask) * latent.coded


def versions(bundle: Bundle, batch: Draw) -> Iterator[tuple[str, Latent, Tensor, Adapters]]:
    """Name, latent, mask and decoder's adapters of the base codec and each version of the layer."""
    plain = bundle.coder.exact(batch.x, batch.quality)
    own = bundle.coder.exact(batch.x, batch.quality, bundle.encoder) if bundle.encoder else plain
    quality = batch.quality[0].item()
    alone = bundle.mask(plain, quality)
    yield BASE, plain, plain.coded, ()
    yield LAYER, own, bundle.mask(own, quality), bundle.decoder
    yield MASK, plain, alone, ()
    with torch.enable_grad():
        importance = bundle.importance(plain, batch)
    yield CHOSEN, plain, chosen_mask(plain, importance.detach(), alone), ()
    yield ADAPTERS, own, own.coded, bundle.decoder


@torch.no_grad()
def measure(bundle: Bundle, batch: Draw) -> dict[str, Row]:
    """Means over crops of one quality: rate, its part of side information, distortions."""
    found = {}
    for name, latent, mask, decoder in versions(bundle, batch):
        decoded = bundle.codec.synthesis(latent.values(mask), decoder)
        bpp = layer_bpp(latent, mask, batch)
        side = latent.side_bits / batch.x[0, 0].numel()
        found[name] = {
            "bpp": bpp.mean().item(),
            "side_share": (side.sum() / bpp.sum()).item(),
            "fill": (mask.sum() / latent.coded.sum()).item(),
            "levels": bundle.distortions(decoded, batch).mean(0).tolist(),
        }
    return found


def point(quality: float, row: Row) -> Point:
    """A point of rate and mean distortion, in dB below the features."""
    return Point(quality, row["bpp"], _db(common.mean(row["levels"])))


def _db(distortion: float) -> float:
    return float(-10 * np.log10(max(distortion, 1e-10)))


def summarise(bundle: Bundle, profile: str, rows: Mapping[float, dict[str, Row]]) -> Row:
    """Bits at equal distortion against the base codec, and what a layer is made of."""
    curves = {
        name: [point(quality, row[name]) for quality, row in rows.items()]
        for name in (BASE, *VARIANTS)
    }
    at = rows[LEVELS_AT]
    return {
        "parts": bundle.parts,
        "network": bundle.network.name,
        "profile": profile,
        "bits_at_equal_distortion": {
            name: task.report(curves[BASE], curves[name], (1.0, 2.0)).bits_at_equal_distortion
            for name in VARIANTS
        },
        "side_share": {f"{quality:g}": row[LAYER]["side_share"] for quality, row in rows.items()},
        "fill": {f"{quality:g}": row[LAYER]["fill"] for quality, row in rows.items()},
        "levels_db": {name: [_db(level) for level in at[name]["levels"]] for name in (BASE, LAYER)},
        "bpp": {name: at[name]["bpp"] for name in (BASE, LAYER)},
        "rows": {f"{quality:g}": row for quality, row in rows.items()},
    }


def crops(folder: Path, count: int) -> Tensor:
    """The middles of the first pictures that are large enough, [n,3,S,S] in [0,1]."""
    found: list[Tensor] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES):
        pixels = common.read(path)
        top, left = ((side - SIDE) // 2 for side in pixels.shape[:2])
        if min(top, left) >= 0:
            middle = pixels[top : top + SIDE, left : left + SIDE]
            found.append(torch.from_numpy(middle).permute(2, 0, 1).float() / 255)
        if len(found) == count:
            return torch.stack(found)
    raise click.ClickException(f"{folder}: fewer than {count} pictures of {SIDE} pixels")


def batch_of(x: Tensor, quality: float) -> Draw:
    """Crops [n,3,S,S], all at one quality and the default level."""
    level = torch.full((len(x),), losses.LEVEL)
    return Draw(x, torch.full((len(x),), quality), level, SIZE_CLASS)


def pooled(parts: Sequence[dict[str, Row]]) -> dict[str, Row]:
    """Means of the rows of batches that are equally large."""
    return {
        name: {key: np.mean([part[name][key] for part in parts], 0).tolist() for key in row}
        for name, row in parts[0].items()
    }


@click.command(help="What keeps a task's layer from being smaller.")
@click.option("--base", default=DEFAULT_BASE, show_default=True)
@click.option("--tasks", callback=lambda _, __, text: text.split(","), default="cls,det,seg")
@click.option("--batches", type=click.IntRange(1), default=2, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Crops in one.")
@click.option("--output", type=click.Path(path_type=Path), default=common.RESULTS / "limits.json")
def main(base: str, tasks: Sequence[str], batches: int, batch: int, output: Path) -> None:
    if unknown := set(tasks) - DATA.keys():
        raise click.UsageError(f"no pictures for {min(unknown)}; there are {', '.join(DATA)}")
    networks, reference = Networks("cpu", "float32"), reference_of(registry.load(base))
    cases = [
        (name, profile)
        for name in tasks
        for profile in PROFILES
        if bundles.find("adapter", name, reference, profile)
    ]
    if not cases:
        raise click.ClickException(f"{reference.id}: no bundle of {', '.join(tasks)} is here")
    found = []
    with Progress() as progress:
        for name, profile in progress.track(cases, description="bundles"):
            torch.manual_seed(0)
            bundle = Bundle(networks, base, name, profile)
            x = crops(DATA[name], batches * batch)
            rows = {
                quality: pooled([
                    measure(bundle, batch_of(part, quality)) for part in torch.split(x, batch)
                ])
                for quality in QUALITIES
            }  # fmt: skip
            found.append(summarise(bundle, profile, rows))
    common.write_json(output, {
        "base": f"{reference.id} {reference.fingerprint.hex()}",
        "crops": batches * batch, "side": SIDE,
        "data": {name: DATA[name].name for name in tasks}, "probes": PROBES,
        "machine": common.machine(), "bundles": found,
    })  # fmt: skip


if __name__ == "__main__":
    main()
