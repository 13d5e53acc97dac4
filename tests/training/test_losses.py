import math

import pytest
import torch

from icmhcodec.training import losses


def test_gaussian_bits_are_those_of_the_probabilities() -> None:
    symbols = torch.arange(-400, 401)
    scales = torch.full(symbols.shape, 20.0)
    bits = losses.gaussian_bits(symbols, scales)
    assert abs(torch.exp2(-bits).sum() - 1) < 1e-3
    assert bits[400] == bits.min()


def test_bits_far_out_go_on_rising_with_their_gradients() -> None:
    values = torch.arange(0.0, 400).requires_grad_()
    bits = losses.gaussian_bits(values, torch.full((400,), 0.5))
    bits.sum().backward()
    assert (bits.diff() > 0).all()
    assert values.grad is not None
    assert (values.grad[1:] > 0).all()
    exact = -torch.special.log_ndtr(torch.tensor(-19.0, dtype=torch.float64)).item()
    assert bits[10].item() == pytest.approx(exact / math.log(2), rel=0.03)


def test_gradients_pass_a_lower_bound_upwards_only() -> None:
    x = torch.tensor([0.5, 0.5, 2.0], requires_grad=True)
    bounded = losses.lower_bound(x, 1.0)
    assert bounded.tolist() == [1, 1, 2]
    bounded.backward(torch.tensor([1.0, -1.0, 1.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [0, -1, 1]
