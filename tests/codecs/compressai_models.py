"""CompressAI's own models with random weights, to compare with."""

import torch

from icmhcodec._compat import import_compressai
from icmhcodec.codecs import zoo


def random_model(architecture, N=8, M=12):
    """A model of CompressAI whose weights are float16 values and matter all."""
    import_compressai()
    from compressai.models import Cheng2020Anchor, MeanScaleHyperprior, ScaleHyperprior

    torch.manual_seed(1)
    anchor = architecture == "cheng2020-anchor"
    kind = ScaleHyperprior if architecture == "scale" else MeanScaleHyperprior
    model = Cheng2020Anchor(N).eval() if anchor else kind(N, M).eval()
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
        model.h_a[-1].weight.mul_(8)
        if anchor:
            last = model.entropy_parameters[4]
            last.weight.mul_(8)
            last.bias[:N] += torch.logspace(-1, 1, N)  # scales of all sizes
        quantiles = model.entropy_bottleneck.quantiles
        quantiles[:, 0, 1] = torch.rand(N) - 0.5
    return model


def with_compressais_names(state):
    """A state dict under the names that zoo checkpoints are read with."""
    return {zoo.current_name(name): value for name, value in state.items()}
