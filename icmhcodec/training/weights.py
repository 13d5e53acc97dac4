"""Trained weights on disk: a run's folder, a codec's file, or tensors under training's names."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from icmhcodec import __version__
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.training import loop, network
from icmhcodec.training.base import Run
from icmhcodec.training.network import Network
from icmhcodec.training.recipe import BaseRecipe, described


def read(path: Path, recipe: BaseRecipe) -> Network:
    """A network to start from; FormatError where the path holds no weights of one."""
    low, high = recipe.lambdas
    tensors, _ = read_trained(path)
    try:
        return network.from_tensors(tensors, (low, high))
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def read_trained(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of a file, or the averaged ones of a run's folder, and what is known of them.

    FormatError where there are none, UsageError for a run of another kind.
    """
    if not path.is_dir():
        try:
            return load_file(path), {}
        except (SafetensorError, OSError) as error:
            raise FormatError(f"{path}: not a readable safetensors file ({error})") from error
    state = loop.read_state(path / loop.STATE)
    if state["kind"] != Run.kind:
        raise UsageError(f"{path}: a run of kind {state['kind']}, not of a base codec")
    about, recipe = state["about"], state["recipe"]
    start = about.get("init") or "scratch"
    if "widened" in about:
        start += f", its latent widened to {about['widened']} channels"
    provenance = {
        "recipe": described(recipe),
        "data": f"{about['data']}: {about['photos']} photos, {about['held_out']} held out",
        "steps": str(state["steps"]),
        "seconds": f"{state['seconds']:.0f}",
        "init": start,
        "metric": "mse",
        "skip": str(recipe["skip"]),
        "lambdas": " ".join(map(str, recipe["lambdas"])),
        "icmh": __version__,
    }
    return state["average"], provenance
