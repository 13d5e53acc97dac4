"""A latent of more channels that starts where a trained codec stands.

What M channels at a sixteenth of the size can hold bounds the quality, however finely they are
quantised: of blocks of 16x16 pixels in three colours they keep M of 768 dimensions. New channels
begin as what best predicts the pixels that the trained ones lose (reduced-rank regression), in the
steps of an orthonormal transform, with scales that h_s already can give; then the first layer of
g_s learns what they mean to the others, which stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.errors import UsageError
from icmhcodec.training import photos
from icmhcodec.training.network import LEVELS, Network
from icmhcodec.training.optimisers import Soap
from icmhcodec.training.photos import Crops

BLOCK = 16  # pixels of a side that an element of the latent stands for
SAMPLES = 400  # crops that regressions are made on
STEPS, PEAK, WARMUP = 300, 1e-3, 10  # of what g_s learns of the new channels
LOWEST = 3.0  # quality in that: below it they are hardly ever coded
RIDGE = 1e-4  # of the mean square, in regressions
# Squared step of an orthonormal transform at its best, times 255^2 lambda: squared errors are means
# over 768 values and bits over 256 pixels.
STEP = 768 * 6 / (256 * math.log(2))


def widen(
    network: Network, channels: int, crops: Crops, samples: int = SAMPLES, steps: int = STEPS
) -> Network:
    """A network of so many latent channels, the new ones fitted on crops; on the CPU.

    UsageError where the latent has as many already or the crops have too few positions.
    """
    old = network.latent_channels
    if channels <= old:
        raise UsageError(f"its latent has {old} channels, it cannot be widened to {channels}")
    inner = network.inner_channels
    wide = Network(network.hyper_channels, channels, network.lambdas, inner).requires_grad_(False)
    batches = -(-samples // crops.batch)
    _keep(wide, network)
    _analyse_what_is_lost(wide, network, _pictures(crops, 0, batches))
    _give_scales(wide, old, _pictures(crops, 0, batches))
    _teach_synthesis(wide, old, _pictures(crops, batches, batches + steps), steps)
    return wide.requires_grad_(True)


def _pictures(crops: Crops, first: int, end: int) -> Iterator[Tensor]:
    return (photos.to_input(crops[step], "cpu") for step in range(first, end))


def _keep(wide: Network, network: Network) -> None:
    """Take over what is trained; the new channels are nothing to any layer yet."""
    old, channels = network.latent_channels, wide.latent_channels
    state = wide.state_dict()
    for name, value in network.state_dict().items():
        target = state[name]
        if target.shape == value.shape:
            target.copy_(value)
            continue
        target.zero_()
        if name.startswith("h_s.4"):  # scales, then means
            target[:old], target[channels : channels + old] = value[:old], value[old:]
        elif name in ("gain", "igain", "h_a.0.weight"):
            target[:, :old] = value
        else:  # outputs of g_a.6, inputs of the transposed g_s.0
            target[:old] = value
    low, high = network.lambdas
    gains = torch.linspace(0.5 * math.log(low / high), 0, LEVELS)[:, None]
    state["gain"][:, old:], state["igain"][:, old:] = gains, -gains


@torch.no_grad()
def _analyse_what_is_lost(wide: Network, network: Network, pictures: Iterable[Tensor]) -> None:
    """Let the new channels of g_a tell most of the pixels that the others lose, unquantised."""
    (kernel, bias), features_of, latent_of = _last(wide.g_a), network.g_a[:-1], network.g_a[-1]
    old, count = network.latent_channels, wide.latent_channels - network.latent_channels

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for x in pictures:
            features = features_of(x)
            gain, inverse = network.gains(torch.full((len(x),), LEVELS - 1.0))
            lost = x - network.g_s(latent_of(features) * gain * inverse)
            yield _windows(features, 5, 2), _positions(F.pixel_unshuffle(lost, BLOCK))

    predictor, square = _regression(pairs())
    explained = predictor.T @ square @ predictor
    directions = torch.linalg.eigh(explained)[1].flip(1)[:, :count]
    step = math.sqrt(STEP / (255**2 * wide.lambdas[1]))
    rows = (predictor @ directions).T.float() / step
    kernel[old:] = rows[:, :-1].view(count, -1, 5, 5)
    bias[old:] = rows[:, -1]


@torch.no_grad()
def _give_scales(wide: Network, old: int, pictures: Iterable[Tensor]) -> None:
    """Let the last layer of h_s predict the new channels' scales; their means are zero."""
    (kernel, bias), features_of = _last(wide.h_s), wide.h_s[:-1]
    count = wide.latent_channels - old
    generator = torch.Generator().manual_seed(0)
    median = wide.eb.med[None, :, None, None]

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for x in pictures:
            gain, _ = wide.gains(torch.rand(len(x), generator=generator) * (LEVELS - 1))
            y = wide.g_a(x) * gain
            z = torch.round(wide.h_a(y) - median) + median
            # A Gaussian's deviation is so many times its mean magnitude.
            scale = y[:, old:].abs() * math.sqrt(math.pi / 2)
            yield _windows(features_of(z), 3, 1), _positions(scale)

    predictor, _ = _regression(pairs())
    rows = predictor.T.float()
    kernel[old : old + count] = rows[:, :-1].reshape(count, -1, 3, 3)
    bias[old : old + count] = rows[:, -1]


def _teach_synthesis(wide: Network, old: int, pictures: Iterable[Tensor], steps: int) -> None:
    """Train what the new channels are to the first layer of g_s, and nothing else."""
    first, rest = wide.g_s[0], wide.g_s[1:]
    assert isinstance(first, nn.ConvTranspose2d)
    kernel = nn.Parameter(torch.zeros_like(first.weight[old:]))
    optimiser = Soap([kernel], lr=PEAK)
    low, high = wide.lambdas
    generator = torch.Generator().manual_seed(1)
    for step, x in enumerate(pictures):
        spread = torch.randperm(len(x), generator=generator) + 0.5
        quality = LOWEST + spread / len(x) * (LEVELS - 1 - LOWEST)
        weight = torch.exp(quality / (LEVELS - 1) * 0.5 * math.log(high / low))
        gain, inverse = wide.gains(quality)
        y = torch.round(wide.g_a(x) * gain) * inverse
        own = F.conv_transpose2d(y[:, old:], kernel, None, 2, 2, 1)
        error = (rest(first(y) + own) - x).square().flatten(1).mean(1)
        optimiser.zero_grad()
        (weight / weight.mean() * error).mean().backward()
        for group in optimiser.param_groups:
            group["lr"] = PEAK * min((step + 1) / WARMUP, 1 - step / steps)
        optimiser.step()
    first.weight[old:] = kernel.detach()


def _last(layers: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the last layer, a convolution."""
    layer = layers[-1]
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.weight, layer.bias


def _windows(features: Tensor, side: int, stride: int) -> Tensor:
    """What a convolution sees at each place, and a one for its bias, [B h w, C side^2 + 1]."""
    windows = F.unfold(features, side, padding=side // 2, stride=stride)
    return F.pad(windows.transpose(1, 2).flatten(0, 1), (0, 1), value=1.0)


def _positions(values: Tensor) -> Tensor:
    """Channels of each place, [B h w, C], of values [B,C,h,w]."""
    return values.flatten(2).transpose(1, 2).flatten(0, 1)


def _regression(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Ridge regression: weights [inputs,outputs], and the mean products of the inputs."""
    square = cross = torch.zeros(())
    count = 0
    for inputs, outputs in pairs:
        square, cross = square + inputs.T @ inputs, cross + inputs.T @ outputs
        count += len(inputs)
    if count < 2 * len(square):
        raise UsageError(f"{count} positions of latents are too few to widen them by: more photos")
    square, cross = square.double() / count, cross.double() / count
    ridge = RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    return torch.linalg.solve(square + ridge, cross), square
