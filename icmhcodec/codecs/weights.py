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
    bits = torch.tensor(INPUT_BITS)
    state = {}
    for i in range(3):
        weight = network[f"{i}.weight"].double()
        shift, per_output = network[f"{i}.shift"], (1, -1, 1, 1) if i < 2 else (-1, 1, 1, 1)
        scaled = weight * torch.exp2((bits - shift).double()).view(per_output)
        given = last_bits if i == 2 else _usual_bits(scaled)
        state[f"h_s.{2 * i}.weight"] = (
            scaled * torch.exp2(-given.double()).view(per_output if i == 2 else ())
        ).float()
        sums = shift + given  # fractional bits of the layer's sums
        state[f"h_s.{2 * i}.bias"] = (network[f"{i}.bias"] * torch.exp2(-sums.double())).float()
        bits = given
    return state


def _usual_bits(weight: Tensor) -> Tensor:
    """Bits between two layers that give a kernel the size of one that training starts from.

    They cancel, as the activations are homogeneous; but what trains a kernel of 6e-5 by steps for
    one of 0.04 ruins it.
    """
    usual = (2 / weight[:, 0].numel()) ** 0.5
    return torch.log2(weight.square().mean().sqrt() / usual).round().int()
