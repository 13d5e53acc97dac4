"""Makes the weights of `test-tiny`, a codec of a few kilobytes for tests: run once, then frozen.

Its convolutions are low-pass filters with a little noise, so that pictures survive roughly and
every weight matters; its latents span several integers at every quality.

    python -m icmhcodec.codecs.test_tiny FILE
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from icmhcodec.codecs.export import export_base

N, M = 8, 12
SEED = 2018
LATENT_SPAN = 60.0
NOISE = 0.003
PRIOR_SCALE = 2.0
LEVELS = 10
LAMBDA_RATIO = 200.0  # of the highest to the lowest level


def make_state() -> dict[str, Tensor]:
    """Tensors under the training tool's names, the same on every call."""
    random = torch.Generator().manual_seed(SEED)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    state = _hyper_state(noise) | _prior_state(noise)
    log_gain = torch.linspace(-0.5 * math.log(LAMBDA_RATIO), 0, LEVELS)[:, None].repeat(1, M)
    state |= {"gain": log_gain, "igain": -log_gain}
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    low_pass = torch.outer(taps, taps)
    for i, (inputs, outputs) in enumerate([(3, N), (N, N), (N, N), (N, M)]):
        pick = torch.zeros(outputs, inputs)
        pick[torch.arange(outputs), torch.arange(outputs) % inputs] = 1
        span = LATENT_SPAN if i == 3 else 1.0
        forward = pick[..., None, None] * low_pass + NOISE * noise(outputs, inputs, 5, 5)
        state[f"g_a.{2 * i}.weight"] = span * forward
        state[f"g_a.{2 * i}.bias"] = span * NOISE * noise(outputs)
        # Each feature comes back as the mean of its copies; stride 2 leaves a quarter of the taps.
        mean = (pick / pick.sum(0))[..., None, None]
        backward = 4 * mean * low_pass + NOISE * noise(outputs, inputs, 5, 5)
        state[f"g_s.{6 - 2 * i}.weight"] = backward / span
        state[f"g_s.{6 - 2 * i}.bias"] = NOISE * noise(inputs)
    for i in (1, 3, 5):
        for transform in ("g_a", "g_s"):
            state[f"{transform}.{i}.beta"] = torch.ones(N)
            state[f"{transform}.{i}.gamma"] = (0.05 * torch.eye(N) + 0.002).sqrt()
    return state


Noise = Callable[..., Tensor]


def _hyper_state(noise: Noise) -> dict[str, Tensor]:
    shapes = {
        "h_a.0": (N, M, 3), "h_a.2": (N, N, 5), "h_a.4": (N, N, 5),
        "h_s.0": (N, M, 5), "h_s.2": (M, M * 3 // 2, 5), "h_s.4": (2 * M, M * 3 // 2, 3),
    }  # fmt: skip
    state = {}
    for name, (first, second, kernel) in shapes.items():
        transposed = name in ("h_s.0", "h_s.2")
        fan_in = (first if transposed else second) * kernel**2 / (4 if transposed else 1)
        outputs = second if transposed else first
        state[f"{name}.weight"] = noise(first, second, kernel, kernel) / math.sqrt(fan_in)
        state[f"{name}.bias"] = 0.1 * noise(outputs)
    state["h_a.4.weight"] *= 3
    state["h_s.4.weight"][:M] *= 0.1
    state["h_s.4.weight"][M:] *= 0.3
    state["h_s.4.bias"][:M] += torch.logspace(-1, 1, M)  # scales of all sizes
    return state


def _prior_state(noise: Noise) -> dict[str, Tensor]:
    """A logistic prior of PRIOR_SCALE per channel: without factors the cumulative is affine."""
    widths = (1, 3, 3, 3, 3, 1)
    scale = PRIOR_SCALE ** (1 / 5)
    state = {}
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        weight = math.log(math.expm1(1 / scale / outputs))
        state[f"eb.m.{i}"] = torch.full((N, outputs, inputs), weight)
        state[f"eb.b.{i}"] = torch.zeros(N, outputs, 1)
        if i < 4:
            state[f"eb.f.{i}"] = torch.zeros(N, outputs, 1)
    shift = noise(N)
    state["eb.b.4"] -= shift[:, None, None] / PRIOR_SCALE
    state["eb.med"] = shift
    reach = PRIOR_SCALE * math.log(2 / 1e-9 - 1)
    state["eb.tails"] = torch.stack([shift - reach, shift + reach], 1)
    return state


def main() -> None:
    """Write the weights to the file that the command line names."""
    description = {
        "recipe": f"low-pass filters with noise, seed {SEED}",
        "data": "none",
        "steps": "0",
        "metric": "none",
        "licence": "Apache-2.0",
    }
    export_base(make_state(), "test-tiny", description, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
