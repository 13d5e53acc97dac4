"""What a base codec's weights file holds, and its fingerprint.

`g_a.*`, `g_s.*`, `h_a.*` are the transforms under CompressAI's names, kernels float16 and the rest
float32; `gain` and `igain` the logarithms of the gains [levels,M]; `entropy.*` the exact stage in
integers; `entropy_bottleneck.*` the float prior that the tables of the hyper-latent were made from,
for comparisons only.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.codecs import prior
from icmhcodec.entropy.model import INPUT_BITS, MEAN_BITS, SCALE_BITS

KIND = "base"


def fingerprint(tensors: Mapping[str, Tensor]) -> bytes:
    """First 8 bytes of SHA-256 over all tensors that decide decoding: all but the float prior."""
    return modelfile.fingerprint(
        {name: tensor for name, tensor in tensors.items() if not name.startswith(prior.PREFIX)}
    )


def float_hyper_synthesis(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float32 tensors of h_s (`h_s.0.weight`, ...) that the integer network stands for.

    For comparisons and training. The function is the exported one but for weights rounded to 2^-13
    of each channel's largest; what it gives are scales, then means.
    """
    network = {k.removeprefix("entropy.h_s."): v for k, v in tensors.items()}
    outputs = len(network["2.bias"])
    means = int(tensors["entropy.means"])
    last_bits = torch.full((outputs,), SCALE_BITS)
    last_bits[outputs // (1 + means) :] = MEAN_BITS
    # Bits between layers cancel, as the activations are homogeneous: any number will do.
    bits = [torch.tensor(INPUT_BITS), torch.tensor(0), torch.tensor(0), last_bits]
    state = {}
    for i in range(3):
        sums = network[f"{i}.shift"] + bits[i + 1]  # fractional bits of the layer's sums
        weight = network[f"{i}.weight"].double()
        scale = torch.exp2((bits[i] - sums).double())
        per_output = scale.view((1, -1, 1, 1) if i < 2 else (-1, 1, 1, 1))
        state[f"h_s.{2 * i}.weight"] = (weight * per_output).float()
        state[f"h_s.{2 * i}.bias"] = (network[f"{i}.bias"] * torch.exp2(-sums.double())).float()
    return state
