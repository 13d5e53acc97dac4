from typing import TypeVar

import torch

Module = TypeVar("Module", bound=torch.nn.Module)


def fill(module: Module, seed: int = 0) -> Module:
    """Random weights, so that what starts at zero shows; gives the module back."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.05)
    return module
