"""Export of trained weights: float16 kernels, and the integer entropy stage made from them.

python -m icmhcodec.codecs.export TRAINED.safetensors --id mbt2018-mean-gain-1 --out FILE ...
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.codecs import prior, weights
from icmhcodec.codecs.architectures import ARCHITECTURES, build
from icmhcodec.entropy.model import export_entropy_model
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.modelfile import ModelFile

_STORED = re.compile(
    r"(g_a|g_s|h_a)\.(\w+\.)+(weight|bias|beta|gamma)|i?gain"
    r"|entropy_bottleneck\.(_(matrix|bias|factor)\d|quantiles)"
)
_TRAINED_PARTS = {"m": "_matrix", "b": "_bias", "f": "_factor"}


def export_base(
    state: Mapping[str, Tensor],
    codec_id: str,
    description: Mapping[str, str],
    path: Path,
    default_skip: int = 0,
) -> None:
    """Write a gained mean-scale hyperprior as the training tool names its tensors.

    `description` holds recipe, data, steps, metric and licence. FormatError where a tensor is
    missing, UsageError where one is not finite.
    """
    model = build_base(file_names(state), codec_id, "mean-scale", description, default_skip)
    modelfile.write(path, model)


def file_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Trained tensors under CompressAI's names; FormatError where one is missing."""
    named = {_compressai_name(k): v for k, v in state.items() if k not in ("eb.med", "eb.tails")}
    missing = {"eb.med", "eb.tails", "gain", "igain"} - state.keys()
    if missing:
        raise FormatError(f"{', '.join(sorted(missing))}: no such tensor in the trained weights")
    low, high = state["eb.tails"].unbind(1)
    named["entropy_bottleneck.quantiles"] = torch.stack([low, state["eb.med"], high], 1)[:, None]
    return named


def build_base(
    state: Mapping[str, Tensor],
    codec_id: str,
    architecture: str,
    description: Mapping[str, str],
    default_skip: int = 0,
) -> ModelFile:
    """A base codec's file from tensors under CompressAI's names; for kinds see architectures.py.

    FormatError where a tensor is missing, UsageError where one is not finite.
    """
    kept = {name: rounded(name, tensor) for name, tensor in state.items()}
    stored = {name: tensor for name, tensor in kept.items() if _STORED.fullmatch(name)}
    kind = ARCHITECTURES[architecture]
    try:
        stored |= export_entropy_model(
            kind.layers(kept),
            lambda values: prior.mass(stored, values),
            prior.medians(stored),
            means=kind.means,
        )
    except KeyError as error:
        raise FormatError(f"{error.args[0]}: no such tensor in the weights") from error
    except RuntimeError as error:
        raise FormatError(f"{codec_id}: its hyper-decoder does not fit ({error})") from error
    metadata = dict(description) | {
        "id": codec_id,
        "kind": weights.KIND,
        "architecture": architecture,
        "default_skip": str(default_skip),
        "fingerprint": weights.fingerprint(stored).hex(),
    }
    model = ModelFile(metadata, stored)
    build(model)  # it loads: every tensor is there and fits
    return model


def rounded(name: str, tensor: Tensor) -> Tensor:
    """Kernels as float16, everything else as float32: what the file holds."""
    tensor = tensor.detach().cpu()
    stored = tensor.half() if tensor.ndim == 4 else tensor.float()
    if not torch.isfinite(stored).all():
        raise UsageError(f"{name}: holds values that are not finite in {stored.dtype}")
    return stored


def _compressai_name(name: str) -> str:
    """The training tool's `eb.m.0` is CompressAI's `entropy_bottleneck._matrix0`."""
    match = re.fullmatch(r"eb\.([mbf])\.(\d)", name)
    return f"{prior.PREFIX}{_TRAINED_PARTS[match[1]]}{match[2]}" if match else name


def main() -> None:
    """Export what the command line names."""
    parser = argparse.ArgumentParser(description="Make a base codec's file of trained weights.")
    parser.add_argument("trained", type=Path, help="safetensors of the training tool")
    parser.add_argument("--id", required=True, help="the codec's name, version included")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--skip", type=int, default=0, help="default skip index, 0 = off")
    for name in ("recipe", "data", "steps", "metric", "licence"):
        parser.add_argument(f"--{name}", default="")
    options = vars(parser.parse_args())
    state, out = load_file(options.pop("trained")), options.pop("out")
    export_base(state, options.pop("id"), options, out, options.pop("skip"))


if __name__ == "__main__":
    main()
