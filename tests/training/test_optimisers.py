import copy

import pytest
import torch
from torch import Tensor, nn

from icmhcodec.training.optimisers import KERNEL_OPTIMISERS, orthogonalise


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.7
    assert values.max() < 1.3


def _loss(kernel: Tensor) -> Tensor:
    """Ill-conditioned: directions of each mode differ by a thousand in curvature."""
    weight = torch.logspace(-1.5, 1.5, 6)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0]
    rotated = torch.einsum("oikl,po->pikl", kernel - 1, rotation)
    return (rotated.square() * weight[:, None, None, None]).sum()


@pytest.mark.parametrize(("name", "rate"), [("muon", 0.3), ("soap", 0.05), ("adam", 0.05)])
def test_steps_lower_a_loss_and_their_state_can_be_kept(name: str, rate: float) -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(6, 4, 5, 5))
    optimiser = KERNEL_OPTIMISERS[name]([kernel], lr=rate)
    start = _loss(kernel).item()

    def step(parameter: nn.Parameter, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        _loss(parameter).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    for _ in range(60):
        step(kernel, optimiser)
    assert _loss(kernel).item() < 0.4 * start
    other = nn.Parameter(kernel.detach().clone())
    resumed = KERNEL_OPTIMISERS[name]([other], lr=1.0)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for _ in range(12):  # over a turn of SOAP's bases
        step(kernel, optimiser)
        step(other, resumed)
    assert torch.equal(kernel, other)
