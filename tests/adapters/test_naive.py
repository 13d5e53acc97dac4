import torch
import torch.nn.functional as F

from icmhcodec.adapters.naive import Naive

from .fill import fill


def test_it_adds_two_layers_of_one_position() -> None:
    adapter, x = fill(Naive(6, 4)), torch.randn(1, 6, 5, 7)
    torch.testing.assert_close(adapter(x), x + adapter.up(F.relu(adapter.down(x))))
    changed = x.clone()
    changed[..., 2, 3] += 1
    difference = (adapter(x) - adapter(changed)).abs().amax((0, 1))
    assert difference.nonzero().tolist() == [[2, 3]]
