from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.adapters.kinds import export_stages, stage_adapters
from icmhcodec.adapters.picture import TaskAdapter, export_task_adapter
from icmhcodec.codecs import registry
from icmhcodec.masks import kinds
from icmhcodec.masks.light import LightNet
from icmhcodec.masks.predictor import ConditionTable, LogitNet
from icmhcodec.modelfile import ModelFile
from icmhcodec.pipeline.codec import Codec
from tests.threads import one_thread  # noqa: F401

BASE = "test-tiny"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's data folder with random bundles for three tasks on the toy codec."""
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))
    for seed, task in enumerate(("det", "cls", "seg")):
        for model in random_bundle(task, seed):
            path = tmp_path / f"{task}-{model.kind}.safetensors"
            modelfile.write(path, model)
            bundles.add(path)
    return tmp_path


def random_bundle(
    task: str, seed: int, profile: str = "scalable", kind: str = "light", picture: bool = False
) -> list[ModelFile]:
    """An adapter that nobody trained, after a predictor; in the machine profile alone.

    `picture` adds a part that follows the decoder.
    """
    codec = registry.load(BASE)
    torch.manual_seed(seed)
    net = _predictor(kind, codec.latent_channels)
    sides = {"decoder": stage_adapters(codec.decoder_channels, 4)}
    if profile == "machine":
        sides["encoder"] = stage_adapters(codec.encoder_channels, 4)
    for stages in sides.values():
        for parameter in stages.parameters():
            parameter.data.copy_(torch.randn(parameter.shape) * 0.1)
    tensors = export_stages(sides)
    if picture:
        last = TaskAdapter()
        torch.nn.init.normal_(last.up2.weight, std=0.02)
        tensors |= export_task_adapter(last)
    shared = {
        "id": f"{task}-7",
        "task": task,
        "profile": profile,
        "base": codec.id,
        "base_fingerprint": codec.fingerprint.hex(),
    }
    adapter = ModelFile({**shared, "kind": "adapter"}, tensors)
    if profile == "machine":
        return [adapter]
    return [ModelFile({**shared, "kind": "predictor"}, kinds.export(net)), adapter]


def _predictor(kind: str, channels: int) -> LogitNet:
    if kind == "light":
        net = LightNet(channels, width=8).requires_grad_(False)
        net.slope.fill_(0.1)
        net.leave.bias.copy_(torch.randn(channels) - 0.3)
    else:
        net = kinds.create(kind, channels).requires_grad_(False)
        net.leave_condition.quality.copy_(torch.randn(channels) - 0.9)
    for module in net.modules():
        if isinstance(module, ConditionTable):
            module.level.copy_(torch.arange(4.0)[:, None] * 0.4)
    return net


@pytest.fixture
def codec() -> Codec:
    return Codec(BASE)


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Something smooth with edges, uint8 [height,width,channels]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 40
    planes = [
        np.sin(x * a + c) + np.cos(y * b) for a, b, c in random.uniform(0.3, 2, (channels, 3))
    ]
    picture = np.stack(planes, 2) * 50 + 127
    picture[height // 3 : height // 2, width // 4 : width // 2] += 60
    return (picture + random.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8)
