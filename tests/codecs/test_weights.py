"""The weights file: what it holds, and the float hyper-decoder behind the integer one."""

import pytest
import torch

from icmhcodec import modelfile
from icmhcodec.codecs import registry, weights
from icmhcodec.codecs.export import build_base
from tests.codecs.compressai_models import random_model, with_compressais_names


@pytest.mark.parametrize("architecture", ["mean-scale", "scale"])
@torch.no_grad()
def test_float_hyper_synthesis_is_what_was_exported(architecture):
    model = random_model(architecture)
    built = build_base(with_compressais_names(model.state_dict()), "random", architecture, {})
    state = weights.float_hyper_synthesis(built.tensors)
    z = 4 * torch.randn(1, 8, 3, 2)
    wanted = model.h_s(z)
    model.h_s.load_state_dict({name.removeprefix("h_s."): v for name, v in state.items()})
    torch.testing.assert_close(model.h_s(z), wanted, rtol=2e-3, atol=2e-3)


def test_float_hyper_synthesis_is_of_a_size_to_train():
    """Kernels of 6e-5, which give the same function, are ruined by steps of 1e-4."""
    model = modelfile.read(registry.WEIGHTS / "mbt2018-mean-gain-1.safetensors")
    state = weights.float_hyper_synthesis(model.tensors)
    for layer in (0, 2, 4):
        weight = state[f"h_s.{layer}.weight"]
        usual = (2 / weight[:, 0].numel()) ** 0.5
        assert 0.2 < weight.square().mean().sqrt() / usual < 10


@pytest.mark.parametrize("name", registry.PACKAGED)
def test_packaged_files_say_what_they_are(name):
    model = modelfile.read(registry.WEIGHTS / f"{name}.safetensors")
    assert (model.id, model.kind) == (name, weights.KIND)
    assert model.metadata["fingerprint"] == weights.fingerprint(model.tensors).hex()
    for key in ("recipe", "data", "steps", "metric", "licence"):
        assert model.metadata[key]
