"""Export of trained video codecs: float16 kernels, and each latent's exact stage made of them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from icmhcodec.codecs import prior
from icmhcodec.codecs.export import file_names, rounded
from icmhcodec.codecs.hyperprior import hyper_synthesis
from icmhcodec.codecs.video import registry
from icmhcodec.codecs.video.contract import KIND, LATENTS, fingerprint
from icmhcodec.entropy.model import export_entropy_model
from icmhcodec.errors import FormatError
from icmhcodec.modelfile import ModelFile


def build_video(
    state: Mapping[str, Tensor],
    codec_id: str,
    architecture: str,
    description: Mapping[str, str],
    skips: Mapping[str, int] | None = None,
) -> ModelFile:
    """A video codec's file from tensors under the training's names; "dvc" or "fvc".

    `skips` are default skip indexes by latent (0 = off). FormatError where a tensor is missing,
    UsageError where one is not finite.
    """
    prefixes = tuple(f"{latent}." for latent in LATENTS)
    stored = {k: rounded(k, v) for k, v in state.items() if not k.startswith(prefixes)}
    for prefix in prefixes:
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        stored |= {prefix + name: tensor for name, tensor in _latent_tensors(own).items()}
    metadata = dict(description) | {
        "id": codec_id,
        "kind": KIND,
        "architecture": architecture,
        "fingerprint": fingerprint(stored).hex(),
    }
    metadata |= {f"{latent}_skip": str((skips or {}).get(latent, 0)) for latent in LATENTS}
    model = ModelFile(metadata, stored)
    registry.build(model)  # it loads: every tensor is there and fits
    return model


def _latent_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A latent's transforms, gains and priors, its hyper-decoder in integers."""
    kept = {name: rounded(name, tensor) for name, tensor in file_names(state).items()}
    stored = {k: v for k, v in kept.items() if not k.startswith("h_s.")}
    try:
        exact = export_entropy_model(
            hyper_synthesis(kept), lambda v: prior.mass(stored, v), prior.medians(stored)
        )
    except KeyError as error:
        raise FormatError(f"{error.args[0]}: no such tensor in the weights") from error
    return stored | exact
