"""The factorised prior against CompressAI's EntropyBottleneck."""

import numpy as np
import torch

from icmhcodec.codecs import prior
from icmhcodec.codecs.export import build_base
from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.entropy.model import MEAN_BITS
from tests.codecs.compressai_models import random_model, with_compressais_names


def skewed_model():
    model = random_model("mean-scale")
    bottleneck = model.entropy_bottleneck
    with torch.no_grad():
        for factor in bottleneck.factors:
            factor.copy_(0.5 * torch.randn_like(factor))
        bottleneck._update_quantiles()
        # Medians that fixed point holds exactly, so that both tables are of the same intervals.
        medians = bottleneck.quantiles[:, 0, 1]
        medians.copy_((medians * 2**MEAN_BITS).round() / 2**MEAN_BITS)
    model.update(force=True)
    return model


def test_mass_equals_compressais_likelihood():
    model = skewed_model()
    tensors = with_compressais_names(model.state_dict())
    values = torch.arange(-20.0, 21).expand(8, -1) + 0.25
    with torch.no_grad():
        likelihood = model.entropy_bottleneck._likelihood(values[:, None])[0][:, 0]
    torch.testing.assert_close(
        prior.mass(tensors, values).float(), likelihood, rtol=1e-4, atol=1e-6
    )


def bits(mass, cdf):
    """Mean bits of values of that mass under a table of their own; what lies outside is left."""
    return -(mass * np.log2(np.diff(cdf) / 2**16)).sum()


def test_tables_hold_the_mass_and_cost_no_more_than_compressais():
    model = skewed_model()
    tensors = with_compressais_names(model.state_dict())
    ours = Hyperprior(build_base(tensors, "random", "mean-scale", {})).entropy.z_tables
    theirs = model.entropy_bottleneck
    values = torch.arange(-1000.0, 1001) + theirs.quantiles[:, 0, 1:2].detach()
    mass = prior.mass(tensors, values).numpy()
    for i in range(8):
        start, length = ours.offsets[i], ours.lengths[i]
        inside = mass[i, 1000 + start : 1000 + start + length - 2]
        assert inside.sum() > 1 - 1e-5
        frequencies = np.diff(ours.cdfs[i, :length])[:-1] / 2**16
        assert np.abs(frequencies - inside).max() < 2e-4
        shift = start - int(theirs._offset[i])
        reference = theirs._quantized_cdf[i, shift : shift + length - 1].numpy()
        assert bits(inside, ours.cdfs[i, : length - 1]) <= bits(inside, reference)
