"""The processes of a run: one, or those that torchrun starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

from icmhcodec.errors import UsageError

PATIENCE = timedelta(hours=2)  # one process decodes many photos while the others wait


def join(device: torch.device) -> None:
    """Meet the other processes of torchrun, if it started this one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait() -> None:
    """Wait for all processes."""
    if dist.is_initialized():
        dist.barrier()


def total(values: Sequence[float], device: torch.device) -> list[float]:
    """Sums of numbers over all processes."""
    if not dist.is_initialized():
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(tensor)
    summed: list[float] = tensor.tolist()
    return summed


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one, else the CPU.

    Of several GPUs each of torchrun's processes has its own, unless the name has a number.

    UsageError where torch cannot use it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
            torch.backends.cudnn.benchmark = True  # crops are of one size
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(f"device '{name}': torch cannot use it here") from error
    return device
