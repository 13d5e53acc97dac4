"""Video codecs of a few kilobytes, untrained: frames survive DVC's roughly, FVC's hardly."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.codecs import registry
from icmhcodec.codecs.video.export import build_video
from icmhcodec.modelfile import ModelFile
from icmhcodec.training import network
from icmhcodec.training.video_network import DVCNetwork, Sizes, VideoNetwork, fresh, start_residual

SIZES = Sizes((8, 8), (8, 12), 8, 8, (8, 8, 8, 2))
SPAN = 40.0  # of latents


def tiny_network(architecture: str = "dvc") -> VideoNetwork:
    """Random weights whose latents span several integers; DVC's residual coder is test-tiny's."""
    torch.manual_seed(7)
    net = fresh(architecture, SIZES).requires_grad_(False)
    coders = [net.motion, net.residual]
    if isinstance(net, DVCNetwork):
        base = modelfile.read(registry.WEIGHTS / "test-tiny.safetensors").tensors
        start_residual(net, network.from_tensors(base).state_dict())
        coders = [net.motion]
        net.compensation.leave.weight.mul_(0.1)
        net.flow_head.weight.mul_(4)
    for coder in coders:
        last, first = coder.g_a[-1], coder.g_s[0]
        last.weight.mul_(SPAN)
        first.weight.div_(SPAN)
        coder.h_a[4].weight.mul_(8)
        coder.h_s[4].bias[: coder.latent_channels] += torch.logspace(-1, 1, coder.latent_channels)
    return net


@lru_cache
def tiny_model(architecture: str = "dvc") -> ModelFile:
    skips = {"motion": 0, "residual": 2}
    state = tiny_network(architecture).state_dict()
    return build_video(state, f"tiny-{architecture}-0", architecture, {}, skips)


def frames(count: int = 2, height: int = 64, width: int = 128) -> Tensor:
    """Something smooth that moves by a pixel or two a frame, [count,3,height,width]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    shown = []
    for t in range(count):
        planes = [
            torch.sin((x + 1.5 * t) / (9 + c)) * torch.cos((y - t) / (7 + c)) for c in range(3)
        ]
        shown.append(torch.stack(planes) * 0.35 + 0.5)
    return torch.stack(shown)
