"""Steps of training per second, the share of the machine's matrix rate, what each trick gains.

A run of a recipe on random crops, with everything on and with each trick off in turn, each in a
process of its own: the threads' library and the allocator take their settings at the start. The
matrix rate is that of a product of square matrices in the dtype of the steps. `cutting` says how
long one process takes to cut a batch from decoded photos, which must be less than a step.

    python -m benchmarks.training
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import common
from icmhcodec.training import base, machine, photos, processes
from icmhcodec.training import recipe as recipes
from icmhcodec.training.recipe import BaseRecipe

Row = dict[str, Any]

TRICKS = ("compile", "bfloat16", "channels last", "passive waiting", "kept memory")
EVERYTHING, BY_ENVIRONMENT = "everything", "memory kept by environment"
CONFIGURATIONS = (EVERYTHING, *(f"without {trick}" for trick in TRICKS), BY_ENVIRONMENT)
# What mallopt does, as glibc reads it at a process's start.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}
WARM = 2  # steps after the first that do not count
SIDE = 2048  # of the matrices


def environment(configuration: str) -> dict[str, str]:
    """The environment of a configuration's process."""
    kept = {k: v for k, v in os.environ.items() if k not in MALLOC}
    passive = configuration != "without passive waiting"
    more = MALLOC if configuration == BY_ENVIRONMENT else {}
    return kept | {"OMP_WAIT_POLICY": "PASSIVE" if passive else "ACTIVE"} | more


def measure(configuration: str, recipe: BaseRecipe, device: torch.device, seconds: float) -> Row:
    """Steps of a run in this process, under the environment of its configuration."""
    if configuration not in ("without kept memory", BY_ENVIRONMENT):
        machine.keep_memory()
    if configuration == "without compile":
        recipe = replace(recipe, compile=False)
    if configuration == "without bfloat16":
        recipe = replace(recipe, bfloat16=False)
    to_input, run = photos.to_input, base.Run(recipe, device)
    if configuration == "without channels last":
        contiguous: Any = {"memory_format": torch.contiguous_format}
        run.trained.to(**contiguous)
        to_input = channels_first
    random = torch.Generator().manual_seed(0)
    shape = (recipe.batch, recipe.crop, recipe.crop, 3)
    crops = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
    with mock.patch.object(photos, "to_input", to_input):
        first = timed(lambda: run.step(crops), device)
        for _ in range(WARM):
            run.step(crops)
        steps = repeated(lambda: run.step(crops), device, seconds)
    dtype = torch.bfloat16 if run.phase() else torch.float32
    rate, work = matrix_rate(dtype, device), step_flops(recipe)
    step = common.median(steps)
    return {
        "steps_per_second": 1 / step,
        "seconds_per_step": step,
        "seconds_first_step": first,
        "steps": len(steps),
        "dtype": str(dtype).removeprefix("torch."),
        "matrix_gflops": rate / 1e9,
        "share_of_matrix_rate": work / step / rate,
        "note": run.note,
    }


_to_input = photos.to_input


def channels_first(crops: Tensor, device: torch.device | str) -> Tensor:
    """Float crops with their channels as planes."""
    return _to_input(crops, device).contiguous()


def timed(action: Callable[[], object], device: torch.device) -> float:
    """Seconds of one action."""
    start = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def repeated(action: Callable[[], object], device: torch.device, seconds: float) -> list[float]:
    """Seconds of each action, for so long and at least three times."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        times.append(timed(action, device))
    return times


def matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Floating point operations per second of a product of two square matrices, the best of ten."""
    a, b = (torch.randn(SIDE, SIDE, device=device).to(dtype) for _ in range(2))
    return 2 * SIDE**3 / min(timed(lambda: a @ b, device) for _ in range(10))


def step_flops(recipe: BaseRecipe) -> float:
    """Operations of convolutions and matrices in forward and backward of a batch, counted."""
    alone = replace(recipe, batch=1, compile=False, bfloat16=False)
    run = base.Run(alone, torch.device("cpu"))
    crops = torch.zeros(1, 3, recipe.crop, recipe.crop)
    with FlopCounterMode(display=False) as counter:
        loss, _ = run.terms(crops)
        loss.backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops() * recipe.batch)


def cutting(recipe: BaseRecipe, seconds: float) -> Row:
    """How long one process takes to cut a batch from photos of 512 x 768 in the cache."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        for number in range(20):
            pixels = random.integers(0, 256, (512, 768, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png", compress_level=1)
        found = photos.load(folder, recipe.crop, Path(name))
        crops = photos.Crops(found, recipe.crop, recipe.batch, recipe.scales)
        steps = iter(range(1 << 30))
        times = repeated(lambda: crops[next(steps)], torch.device("cpu"), seconds)
    return {"seconds_per_batch": common.median(times), "batches": len(times)}


def gains(rows: dict[str, Row]) -> dict[str, float]:
    """How many times as fast everything is as it is without each trick."""
    whole = rows[EVERYTHING]["steps_per_second"]
    return {
        trick: whole / rows[f"without {trick}"]["steps_per_second"]
        for trick in TRICKS
        if f"without {trick}" in rows
    }


def in_own_process(configuration: str, arguments: list[str]) -> Row:
    """The row that a process of its own measures."""
    command = [sys.executable, "-m", "benchmarks.training", "--only", configuration, *arguments]
    done = subprocess.run(
        command, env=environment(configuration), capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise click.ClickException(f"{configuration}: {reason}")
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


@click.command(help="Steps of training per second, and what each trick gains.")
@click.option("--recipe", "name", default="cpu", show_default=True)
@click.option("--device", "device_name", default="auto", show_default=True)
@click.option("--seconds", type=float, default=20.0, show_default=True, help="Per configuration.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads; default: all cores.")
@click.option("--output", type=click.Path(path_type=Path), default=common.RESULTS / "training.json")
@click.option("--only", type=click.Choice(CONFIGURATIONS), help="One, as JSON on stdout.")
def main(
    name: str, device_name: str, seconds: float, threads: int | None, output: Path, only: str | None
) -> None:
    recipe, device = recipes.load(name), processes.choose_device(device_name)
    if threads:
        torch.set_num_threads(threads)
    if only:
        click.echo(json.dumps(measure(only, recipe, device, seconds)))
        return
    arguments = ["--recipe", name, "--device", device_name, "--seconds", str(seconds)]
    arguments += ["--threads", str(threads)] if threads else []
    rows = {c: in_own_process(c, arguments) for c in track(CONFIGURATIONS, description="runs")}
    results = {
        "settings": {
            "recipe": name,
            "batch": recipe.batch,
            "crop": recipe.crop,
            "steps_for": seconds,
        },
        "machine": common.machine(),
        "step_gflop": step_flops(recipe) / 1e9,
        "configurations": rows,
        "gains": gains(rows),
        "cutting": cutting(recipe, min(seconds, 5.0)),
    }
    common.write_json(output, results)
    click.echo(json.dumps(common.rounded(results["gains"]), indent=1))


if __name__ == "__main__":
    main()
