from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.threads import one_thread  # noqa: F401


@pytest.fixture(autouse=True)
def _no_bundles_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))


def picture(height, width, seed=0):
    """Smooth colours with some noise, uint8 [H,W,3]."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 40
    waves = np.stack([np.sin(rows + k) * np.cos(columns * (k + 1)) for k in range(3)], 2)
    return (128 + 90 * waves + random.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def photos(tmp_path):
    """A folder of two small pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(picture(64, 128, number)).save(folder / f"{number}.png")
    return folder
