from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.adapters.video import VideoAdapter, export_video_adapter
from icmhcodec.codecs.video import registry
from icmhcodec.masks import video as video_masks
from icmhcodec.masks.video import VideoNet
from icmhcodec.modelfile import ModelFile
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.video.encode import Picture
from icmhcodec.pipeline.video.plan import Options, Plan, make_header, make_plan
from tests.codecs.video.tiny import frames, tiny_model
from tests.pipeline.conftest import BASE, random_bundle
from tests.threads import one_thread  # noqa: F401

HEIGHT, WIDTH = 56, 100


def video_bundle(codec: ModelFile, task: str, seed: int) -> list[ModelFile]:
    """Predictors and an adapter that nobody trained."""
    built = registry.build(codec)
    torch.manual_seed(seed)
    nets = {}
    for latent in video_masks.LATENTS:
        channels = built.latent(latent).latent_channels
        nets[latent] = VideoNet(channels, width=8).requires_grad_(False)
        nets[latent].slope.fill_(0.1)
        nets[latent].leave.weight.mul_(5)
        nets[latent].leave.bias.copy_(torch.randn(channels) - 0.3)
    adapter = VideoAdapter(2, 3, 2).requires_grad_(False)
    for parameter in adapter.parameters():
        parameter.copy_(torch.randn(parameter.shape) * 0.1)
    shared = {
        "id": f"{task}-video-0", "task": task, "base": codec.id,
        "base_fingerprint": built.fingerprint.hex(),
    }  # fmt: skip
    return [
        ModelFile({**shared, "kind": "predictor"}, video_masks.export(nets)),
        ModelFile({**shared, "kind": "adapter"}, export_video_adapter(adapter)),
    ]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both tiny video codecs, with bundles for two tasks on each and on the toy codec."""
    folder = tmp_path_factory.mktemp("video")
    models = [random_bundle(task, seed) for seed, task in enumerate(("det", "seg", "cls"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ICMH_DATA", str(folder / "data"))
        for start, architecture in enumerate(("dvc", "fvc")):
            path = folder / f"{architecture}.safetensors"
            modelfile.write(path, tiny_model(architecture))
            registry.add(path)
            for seed, task in enumerate(("det", "seg"), 10 * start):
                models.append(video_bundle(tiny_model(architecture), task, seed))
        for number, model in enumerate(model for bundle in models for model in bundle):
            path = folder / f"{number}.safetensors"
            modelfile.write(path, model)
            bundles.add(path)
    return folder / "data"


@pytest.fixture(autouse=True)
def models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of the folder that other tests of the pipeline make anew each time."""
    monkeypatch.setenv("ICMH_DATA", str(folder))


@pytest.fixture
def networks() -> Networks:
    return Networks("cpu", "float32")


def plan_of(networks: Networks, options: Options) -> Plan:
    """A plan to encode the test's clip with."""
    clip = {"time_base": Fraction(1, 25), "rate": Fraction(25)}
    header = make_header(networks, BASE, options, WIDTH, HEIGHT, **clip)
    return make_plan(networks, header, options if options.portable else None)


def clip(count: int) -> list[Picture]:
    """Something that moves, of an odd size."""
    levels = (frames(count, HEIGHT, WIDTH) * 255).byte().permute(0, 2, 3, 1).numpy()
    random = np.random.default_rng(0)
    noise = random.integers(-6, 7, levels.shape)
    return [Picture(t, (f + n).clip(0, 255).astype(np.uint8)) for t, (f, n) in
            enumerate(zip(levels, noise, strict=True))]  # fmt: skip
