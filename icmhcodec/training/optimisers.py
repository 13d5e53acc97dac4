"""Optimisers of convolution kernels that precondition whole matrices: Muon and SOAP."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

# Newton-Schulz polynomials, each step's own: five of them bring singular values close to 1.
_POLYNOMIALS = (
    (4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046), (2.8366, -3.0525, 1.2012),
)  # fmt: skip


def orthogonalise(matrix: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix [m,n], roughly, computed in bfloat16."""
    x: Tensor = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    x = x / (x.norm() + 1e-7)
    for a, b, c in _POLYNOMIALS:
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    x = x.mT if tall else x
    return x.to(matrix.dtype)


class _Optimiser(torch.optim.Optimizer):
    """An optimiser without closures that updates one parameter at a time."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, self.state[parameter], group)

    def _update(
        self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        raise NotImplementedError


class Muon(_Optimiser):
    """Orthogonalised momentum (Jordan et al. 2024), Nesterov's, a kernel as [outputs, rest]."""

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def _update(
        self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(state["momentum"], group["momentum"]).flatten(1)
        step = orthogonalise(update) * (0.2 * math.sqrt(max(update.shape)))
        parameter.add_(step.reshape(parameter.shape), alpha=-group["lr"])


class Soap(_Optimiser):
    """Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321).

    A kernel is a tensor [first, second, k*k]; each of its modes has a basis of its own. The first
    step only gathers the statistics that the bases start from.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.97),
        every: int = 10,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "every": every})

    def _update(
        self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        gradient = gradient.flatten(2)
        first, second = group["betas"]
        if not state:
            state["steps"] = 0
            state["moments"] = [gradient.new_zeros(side, side) for side in gradient.shape]
            _gather(state["moments"], gradient, second)
            state["bases"] = [_eigenbasis(moment) for moment in state["moments"]]
            state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
            return
        _gather(state["moments"], gradient, second)
        state["steps"] += 1
        state["mean"].lerp_(gradient, 1 - first)
        rotated = _rotate(gradient, state["bases"])
        state["square"].mul_(second).addcmul_(rotated, rotated, value=1 - second)
        mean = _rotate(state["mean"], state["bases"]) / (1 - first ** state["steps"])
        deviation = (state["square"] / (1 - second ** state["steps"])).sqrt() + 1e-12
        step = _rotate(mean / deviation, [basis.mT for basis in state["bases"]])
        parameter.add_(step.reshape(parameter.shape), alpha=-group["lr"])
        if state["steps"] % group["every"] == 0:
            _turn(state)


def _gather(moments: list[Tensor], gradient: Tensor, decay: float) -> None:
    """Average the second moments of each mode."""
    for mode, moment in enumerate(moments):
        rows = gradient.movedim(mode, 0).flatten(1)
        moment.lerp_(rows @ rows.mT, 1 - decay)


def _eigenbasis(moment: Tensor) -> Tensor:
    """Eigenvectors as columns, that of the largest eigenvalue first."""
    floor = 1e-30 * torch.eye(len(moment), device=moment.device)
    vectors: Tensor = torch.linalg.eigh(moment + floor)[1]
    return vectors.flip(1)


def _rotate(tensor: Tensor, bases: Sequence[Tensor]) -> Tensor:
    """Each mode in its basis: a contraction of the first one brings the next one first."""
    for basis in bases:
        tensor = torch.tensordot(tensor, basis, dims=[[0], [0]])
    return tensor


def _turn(state: dict[str, Any]) -> None:
    """One power iteration of each basis towards its moment's eigenvectors, kept in order."""
    for mode, moment in enumerate(state["moments"]):
        basis = state["bases"][mode]
        order = torch.einsum("ij,ij->j", basis, moment @ basis).argsort(descending=True)
        state["square"] = state["square"].index_select(mode, order)
        state["bases"][mode] = torch.linalg.qr(moment @ basis[:, order])[0]


def is_kernel(parameter: Tensor) -> bool:
    """Whether a parameter is a convolution's kernel of whole matrices, not of pictures or flows."""
    return parameter.ndim == 4 and min(parameter.shape[:2]) > 3


def adam(params: Iterable[Any], lr: float) -> torch.optim.Optimizer:
    """Adam with a short memory of squares: gradients grow as the decay goes on.

    Its epsilon is far below torch's 1e-8, which gradients of square roots near zero drown in.
    """
    return torch.optim.Adam(params, lr, betas=(0.9, 0.95), eps=1e-15)


KERNEL_OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "muon": Muon,
    "soap": Soap,
    "adam": adam,
}
