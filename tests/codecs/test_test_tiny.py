"""The packaged test codec is what its generator makes."""

import torch

from icmhcodec import modelfile
from icmhcodec.codecs import registry, test_tiny


def test_packaged_transforms_are_the_generators():
    stored = modelfile.read(registry.WEIGHTS / "test-tiny.safetensors").tensors
    made = test_tiny.make_state()
    for name in ("g_a.0.weight", "g_s.6.weight", "h_a.2.bias", "g_a.3.gamma"):
        torch.testing.assert_close(stored[name].float(), made[name], rtol=1e-3, atol=1e-3)
