from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from icmhcodec import modelfile
from icmhcodec.codecs import registry
from icmhcodec.training import base, network, photos
from icmhcodec.training.photos import Crops
from icmhcodec.training.recipe import BaseRecipe
from tests.threads import one_thread  # noqa: F401

TINY = BaseRecipe(
    steps=8, batch=2, crop=64, scales=(1.0, 0.7), workers=0, channels=(8, 12), compile=False
)


def paint(folder: Path, count: int) -> Path:
    """Smooth random pictures of 100 x 90 pixels, and one that is too small."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for k in range(count):
        coarse = random.integers(0, 255, (9, 10, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((100, 90)).save(folder / f"{k:02}.png")
    Image.fromarray(coarse).save(folder / "small.png")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint(tmp_path / "photos", 20)


def tiny_network() -> network.Network:
    """The weights of test-tiny."""
    path = registry.WEIGHTS / "test-tiny.safetensors"
    return network.from_tensors(modelfile.read(path).tensors)


def tiny_run(recipe: BaseRecipe = TINY) -> base.Run:
    return base.Run(recipe, torch.device("cpu"), tiny_network())


def crops_of(folder: Path, recipe: BaseRecipe = TINY) -> Crops:
    found = photos.load(folder, recipe.crop, folder.parent)
    return Crops(found, recipe.crop, recipe.batch, recipe.scales)


def record(run: base.Run) -> list[float]:
    """The losses of all steps that a run makes from here on."""
    losses: list[float] = []
    step: Callable[..., dict[str, float]] = run.step

    def recorded(crops: torch.Tensor) -> dict[str, float]:
        means = step(crops)
        losses.append(means["loss"])
        return means

    run.step = recorded  # type: ignore[method-assign]
    return losses
