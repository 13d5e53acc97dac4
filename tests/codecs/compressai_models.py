"""CompressAI's own models with random weights, to compare with."""

import torch

from icmhcodec._compat import import_compressai
from icmhcodec.codecs import zoo


def random_model(architecture, N=8, M=12):
    """A ScaleHyperprior or MeanScaleHyperprior whose weights are float16 values and matter all."""
    import_compressai()
    from compressai.models import MeanScaleHyperprior, ScaleHyperprior

    torch.manual_seed(1)
    model = (ScaleHyperprior if architecture == "scale" else MeanScaleHyperprior)(N, M).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("entropy_bottleneck"):
                continue
            if name.endswith(("beta", "gamma")):
                parameter.add_(0.1 * torch.rand_like(parameter))
            elif name.endswith("bias"):
                parameter.copy_(0.1 * torch.randn_like(parameter))
            parameter.copy_(parameter.half())
        model.g_a[6].weight.mul_(64)
        model.h_a[4].weight.mul_(8)
        quantiles = model.entropy_bottleneck.quantiles
        quantiles[:, 0, 1] = torch.rand(N) - 0.5
    return model


def with_compressais_names(state):
    """A state dict under the names that zoo checkpoints are read with."""
    return {zoo.current_name(name): value for name, value in state.items()}
