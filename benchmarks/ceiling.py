"""What bounds a base codec's pictures: how much its latent holds, and how finely it is told.

For qualities over Kodak: PSNR of the decoded latent, of the latent without rounding (what is lost
then, no number of bits brings back), and of what rounding alone changes in the picture. Beside it
what as many values hold of blocks of 16x16 pixels by the best fixed linear transform, principal
components of other photos' blocks.

    python -m benchmarks.ceiling
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from rich.progress import track

from benchmarks import common
from benchmarks.common import Pixels, Row
from icmhcodec.codecs import registry
from icmhcodec.codecs.contract import QUALITY_UNIT, BaseCodec
from icmhcodec.pipeline.tensors import to_input

PHOTOS = common.ROOT.parent / "shared" / "data" / "train_photos"
QUALITIES = (0, 3, 6, 9)
BLOCK = 16
STRIDE = 64  # sides of what is coded
WIDTHS = (128, 192, 256, 320, 384)
BLOCKS = 200  # of each photo, at most

Matrix = npt.NDArray[np.float64]


def blocks(pixels: Pixels) -> Matrix:
    """All whole blocks of a picture as rows of 768 values in 0 to 1."""
    height, width = (side // BLOCK * BLOCK for side in pixels.shape[:2])
    parted = pixels[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
    return parted.transpose(0, 2, 1, 3, 4).reshape(-1, 3 * BLOCK**2) / 255.0


def sample(paths: Sequence[Path]) -> Iterator[Matrix]:
    """Some blocks of each photo."""
    random = np.random.default_rng(0)
    for path in paths:
        with Image.open(path) as image:
            rows = blocks(np.array(image.convert("RGB")))
        yield rows[random.permutation(len(rows))[:BLOCKS]]


def components(rows: Matrix) -> tuple[Matrix, Matrix]:
    """The mean of blocks, and their principal components [768,768], the largest first."""
    mean = rows.mean(0)
    return mean, np.linalg.eigh(np.cov((rows - mean).T))[1][:, ::-1]


def held(rows: Matrix, basis: tuple[Matrix, Matrix], width: int) -> float:
    """Squared error of blocks of which so many components are kept."""
    mean, vectors = basis
    kept = vectors[:, :width]
    centred = rows - mean
    return float(np.mean((centred - centred @ kept @ kept.T) ** 2))


@torch.no_grad()
def losses(codec: BaseCodec, pixels: Pixels, quality: int) -> Row:
    """Squared errors of a picture: of all, without rounding, and by rounding alone."""
    x = to_input(pixels, codec.device)
    height, width = x.shape[2:]
    y = codec.analysis(F.pad(x, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate"))
    gain, inverse = (g[:, None, None] for g in codec.gains(quality * QUALITY_UNIT))
    scaled = y * gain
    z = codec.entropy.hyper_symbols(codec.hyper_analysis(scaled)[0])
    mean = codec.entropy.parameters(z)[0].to(y.device) * 2.0**-8
    free, rounded = (
        codec.synthesis(values * inverse)[..., :height, :width]
        for values in (scaled, torch.round(scaled - mean) + mean)
    )
    pairs = {"all": (rounded, x), "latent": (free, x), "rounding": (rounded, free)}
    return {name: float((a - b).square().mean()) for name, (a, b) in pairs.items()}


def decibels(errors: Sequence[float]) -> float:
    """PSNR of the mean error."""
    return float(-10 * np.log10(np.mean(errors)))


def codec_rows(codec: BaseCodec, pictures: Sequence[Pixels]) -> list[Row]:
    """A codec's losses at each quality, as PSNR."""
    rows = []
    for quality in QUALITIES:
        found = [losses(codec, pixels, quality) for pixels in pictures]
        rows.append(
            {"quality": quality} | {key: decibels([f[key] for f in found]) for key in found[0]}
        )
    return rows


@click.command(help="What a latent holds, and what rounding it loses, over Kodak.")
@click.option("--kodak", type=click.Path(path_type=Path), default=common.KODAK)
@click.option("--photos", type=click.Path(path_type=Path), default=PHOTOS)
@click.option("--base", "bases", multiple=True, help="A codec; by default the packaged ones.")
@click.option("--output", type=click.Path(path_type=Path), default=common.RESULTS / "ceiling.json")
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures.")
def main(
    kodak: Path, photos: Path, bases: tuple[str, ...], output: Path, limit: int | None
) -> None:
    pictures = [common.read(path) for path in common.pictures(kodak, limit)]
    paths = sorted(photos.glob("*.jpg"))
    basis = components(np.concatenate(list(sample(paths))))
    rows = np.concatenate([blocks(pixels) for pixels in pictures])
    names = bases or tuple(name for name in registry.PACKAGED if name != "test-tiny")
    found = {}
    for name in track(names, "codecs"):
        codec = registry.load(name)
        found[codec.id] = {"channels": codec.latent_channels, "rows": codec_rows(codec, pictures)}
    results = {
        "settings": {"pictures": len(pictures), "photos": len(paths)},
        "machine": common.machine(),
        "linear_psnr": {str(width): decibels([held(rows, basis, width)]) for width in WIDTHS},
        "codecs": found,
    }
    common.write_json(output, results)


if __name__ == "__main__":
    main()
