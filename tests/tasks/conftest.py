from __future__ import annotations

import pytest
import torch

from icmhcodec.errors import MissingWeightsError
from icmhcodec.tasks import weights, yolox


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def network_file():
    """The published ONNX file, where this machine has it."""
    pytest.importorskip("onnx")
    try:
        return weights.locate(yolox.FILE, download=False)
    except MissingWeightsError as error:
        pytest.skip(f"YOLOX-Nano is not here: {error}")


@pytest.fixture(scope="session")
def network(network_file):
    return yolox.load_yolox(network_file)
