from __future__ import annotations

from pathlib import Path

import pytest
import torch

from icmhcodec.errors import MissingWeightsError
from icmhcodec.tasks import efficientnet, espnetv2, weights, yolox
from tests.threads import one_thread  # noqa: F401

SHARED = Path(__file__).resolve().parents[3] / "shared"


def _located(file):
    """The published file, where this machine has it."""
    try:
        return weights.locate(file, download=False)
    except MissingWeightsError as error:
        pytest.skip(f"{error}")


@pytest.fixture(scope="session")
def network_file():
    pytest.importorskip("onnx")
    return _located(yolox.FILE)


@pytest.fixture(scope="session")
def network(network_file):
    return yolox.load_yolox(network_file)


@pytest.fixture(scope="session")
def classifier():
    return efficientnet.load_lite2(_located(efficientnet.LITE2.file))


@pytest.fixture(scope="session")
def segmenter():
    return espnetv2.load_espnetv2(_located(espnetv2.FILE))


@pytest.fixture(scope="session")
def data():
    """The folder of the evaluation sets beside a source checkout."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not here")
    return folder


@pytest.fixture(scope="session")
def photo():
    """Makes smooth random pictures, uint8 [H,W,3]."""

    def make(height=300, width=451, seed=0):
        random = torch.Generator().manual_seed(seed)
        small = torch.rand(1, 3, 12, 16, generator=random)
        large = torch.nn.functional.interpolate(small, (height, width), mode="bicubic")[0]
        return (large.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()

    return make


@pytest.fixture(scope="session")
def as_tensor():
    """Turns pictures into RGB [1,3,H,W] in [0,1]."""
    return lambda picture: torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
