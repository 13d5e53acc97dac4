"""CompressAI's own mean-scale hyperprior with the weights of a packaged codec at one quality.

What icmh is compared with: the same transforms, the hyper-decoder in floats, CompressAI's tables
and its way to code. The gain goes into the last convolution of g_a, its inverse into the first of
g_s; the medians are those that icmh rounds around, so that both code the same hyper-symbols.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from icmhcodec import modelfile
from icmhcodec._compat import import_compressai
from icmhcodec.codecs import prior, registry
from icmhcodec.codecs.contract import QUALITY_UNIT
from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.codecs.weights import float_hyper_synthesis
from icmhcodec.entropy.model import MEAN_BITS
from icmhcodec.modelfile import ModelFile

# Constants of CompressAI's layers, and tables that `update` makes.
COMPUTED = {
    *("pedestal", "bound", "target", "scale_bound", "scale_table"),
    *("_offset", "_quantized_cdf", "_cdf_length"),
}
PARTS = {"_matrix": "matrices.", "_bias": "biases.", "_factor": "factors."}


def load(name: str, quality: float) -> Any:
    """CompressAI's MeanScaleHyperprior of a packaged codec by name, ready to compress."""
    path = registry.WEIGHTS / f"{registry.resolve(name)}.safetensors"
    return build(modelfile.read(path), quality)


def build(model: ModelFile, quality: float) -> Any:
    """CompressAI's MeanScaleHyperprior of a weights file at a quality, its tables made."""
    import_compressai()
    from compressai.models import MeanScaleHyperprior

    state = state_dict(model, quality)
    N, M = len(state["g_a.0.weight"]), len(state["g_a.6.weight"])
    network = MeanScaleHyperprior(N, M).eval().requires_grad_(False)
    # CompressAI's own loading wants stored tables; here they are made afterwards.
    missing, unexpected = nn.Module.load_state_dict(network, state, strict=False)
    left = [key for key in missing if key.rpartition(".")[2] not in COMPUTED]
    if left or unexpected:
        raise RuntimeError(f"weights do not fit CompressAI's model: {[*left, *unexpected]}")
    network.update(force=True)
    return network


def state_dict(model: ModelFile, quality: float) -> dict[str, Tensor]:
    """Float32 tensors under CompressAI's names, the gain of a quality folded in."""
    tensors = model.tensors
    gain, inverse = Hyperprior(model).gains(round(quality * QUALITY_UNIT))
    state = {
        _current_name(name): tensor.float()
        for name, tensor in tensors.items()
        if name.startswith(("g_a.", "g_s.", "h_a.", prior.PREFIX))
    }
    state["g_a.6.weight"] = state["g_a.6.weight"] * gain[:, None, None, None]
    state["g_a.6.bias"] = state["g_a.6.bias"] * gain
    state["g_s.0.weight"] = state["g_s.0.weight"] * inverse[:, None, None, None]
    quantiles = state[f"{prior.PREFIX}quantiles"].clone()
    quantiles[:, 0, 1] = _medians(tensors)
    return state | float_hyper_synthesis(tensors) | {f"{prior.PREFIX}quantiles": quantiles}


def _current_name(name: str) -> str:
    """CompressAI 1.2.8's name of a tensor: `_matrix0` of the prior became `matrices.0`."""
    for old, new in PARTS.items():
        name = name.replace(f"{prior.PREFIX}{old}", f"{prior.PREFIX}{new}")
    return name


def _medians(tensors: Mapping[str, Tensor]) -> Tensor:
    return tensors["entropy.medians"].float() * 2.0**-MEAN_BITS


@torch.no_grad()
def likelihoods(network: Any, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """The model's own likelihoods of what it would code for a latent y and hyper-latent z, floats.

    Shapes are those of y [1,M,H,W] and z [1,N,h,w]; eval mode: rounding, no noise.
    """
    z_hat, of_z = network.entropy_bottleneck(z)
    scale, mean = network.h_s(z_hat).chunk(2, 1)
    _, of_y = network.gaussian_conditional(y, scale, means=mean)
    return of_y, of_z
