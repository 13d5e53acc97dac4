"""What there is to measure of task layers: all bundles that are here, found and not named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import common
from benchmarks.common import Pixels
from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.codecs import registry
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.container import Reference
from icmhcodec.masks import kinds
from icmhcodec.modelfile import ModelFile
from icmhcodec.pipeline.networks import reference_of

# What decides a task's layer of each profile.
NEEDED = {"scalable": "predictor", "machine": "adapter"}
MASKED = "roi"  # the task of a layer by an explicit mask, where no bundle fits


@dataclass(frozen=True)
class Case:
    """A kind of file: its base codec, bundles by id in their order, and profile."""

    base: str
    bundles: tuple[str, ...]
    profile: str = "scalable"

    @property
    def name(self) -> str:
        return f"{self.base}, {self.profile} {', '.join(self.bundles) or 'explicit mask'}"

    def options(self, pixels: Pixels) -> dict[str, Any]:
        """What to encode with; people get a layer, too."""
        if not self.bundles:
            return {"tasks": (MASKED,), "masks": {MASKED: common.middle_quarter(pixels)}}
        return {"tasks": self.bundles, "profile": self.profile, "with_human": True}

    def weights(self) -> dict[str, str]:
        """Ids with fingerprints of all that takes part."""
        base = reference_of(registry.load(self.base))
        found = {"codec": base}
        for name in self.bundles:
            for kind in bundles.KINDS:
                if bundle := bundles.find(kind, name, base, self.profile):
                    found[f"{name} {kind}"] = bundle[1]
        return {what: f"{item.id} {item.fingerprint.hex()}" for what, item in found.items()}


def single(base: str) -> list[Case]:
    """A case for each bundle of a base codec in each profile, by the versions of tasks."""
    reference = reference_of(registry.load(base))
    return [
        Case(reference.id, (metadata["id"],), profile)
        for profile in NEEDED
        for metadata in _here(reference, profile)
    ]


def together(base: str) -> list[Case]:
    """A case for each profile of several tasks: their newest bundles in one file."""
    reference = reference_of(registry.load(base))
    found = []
    for profile in NEEDED:
        newest = {metadata["task"]: metadata["id"] for metadata in _here(reference, profile)}
        if len(newest) > 1:
            found.append(Case(reference.id, tuple(newest.values()), profile))
    return found


def every(bases: Sequence[str]) -> list[Case]:
    """All cases of the base codecs; one of an explicit mask where a codec has no bundle."""
    found = []
    for base in bases:
        found += single(base) + together(base) or [Case(registry.resolve(base), ())]
    return found


def packaged_bases() -> list[str]:
    """Ids of the base codecs in the package."""
    return [name for name, path in registry.available() if path.parent == registry.WEIGHTS]


def _here(base: Reference, profile: str) -> list[dict[str, str]]:
    """Metadata of the bundles of a base codec and profile, by task and version."""
    found = {
        metadata["id"]: metadata
        for _, metadata in bundles.available(NEEDED[profile])
        if metadata["base_fingerprint"] == base.fingerprint.hex()
        and metadata.get("profile", "scalable") == profile
    }
    return sorted(found.values(), key=lambda m: (m["task"], len(m["id"]), m["id"]))


def add_random(base: str, kind: str) -> Reference:
    """Put a predictor of that kind that nobody trained to the user's bundles, by its name."""
    codec = registry.load(base)
    file = ModelFile(
        {
            "id": f"random-{kind}",
            "kind": "predictor",
            "task": f"random-{kind}",
            "profile": "scalable",
            "base": codec.id,
            "base_fingerprint": codec.fingerprint.hex(),
        },
        kinds.export(_random(kind, codec)),
    )
    part = modelfile.user_folder() / "random.part"
    modelfile.write(part, file)
    try:
        return bundles.add(part)
    finally:
        Path(part).unlink()


def _random(kind: str, codec: BaseCodec) -> Any:
    """A network whose masks are neither empty nor full, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = kinds.create(kind, codec.latent_channels)
        for name, parameter in net.named_parameters():
            if "condition." in name:
                parameter.data += torch.randn(parameter.shape)
        return net.requires_grad_(False)
