"""Kinds of mask predictors: a module and one line here for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from icmhcodec.errors import FormatError, UsageError
from icmhcodec.masks import channels, icmh_net, light
from icmhcodec.masks.predictor import INPUT_SIDE, LogitNet, Predictor


@dataclass(frozen=True)
class Kind:
    """The network that is trained, and what loads its export."""

    net: Callable[[int, int], LogitNet]
    load: Callable[[Mapping[str, Tensor], torch.device | str], Predictor]


DEFAULT = "light"
KINDS = {
    DEFAULT: Kind(light.LightNet, light.load),
    "icmh-net": Kind(icmh_net.IcmhNet, icmh_net.load),
    "channels": Kind(channels.ChannelNet, channels.ChannelPredictor),
}
_MARK = "kind"  # a tensor of the name's ASCII codes; the default has none


def create(kind: str, latent_channels: int, input_side: int = INPUT_SIDE) -> LogitNet:
    """A new network to be trained, for a task whose network shrinks pictures to `input_side`.

    UsageError where there is no such kind.
    """
    if kind not in KINDS:
        raise UsageError(f"predictor '{kind}': one of {', '.join(KINDS)}")
    return KINDS[kind].net(latent_channels, input_side)


def export(net: LogitNet) -> dict[str, Tensor]:
    """The tensors of a trained predictor's file: the integers that it computes with, its kind."""
    kind = next(name for name, kind in KINDS.items() if type(net) is kind.net)
    mark = {} if kind == DEFAULT else {_MARK: _mark(kind)}
    return {name: value.contiguous() for name, value in (net.export() | mark).items()}


def _mark(kind: str) -> Tensor:
    return torch.tensor(list(kind.encode()), dtype=torch.uint8)


def kind_of(tensors: Mapping[str, Tensor]) -> str:
    """The kind of an exported predictor; FormatError where it is none of these."""
    if _MARK not in tensors:
        return DEFAULT
    mark = tensors[_MARK].cpu()
    for kind in KINDS.keys() - {DEFAULT}:
        if mark.dtype == torch.uint8 and torch.equal(mark, _mark(kind)):
            return kind
    raise FormatError("predictor: it is of a kind that this version does not know")


def load(tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Predictor:
    """An exported predictor in exact integers; FormatError where its tensors are not one."""
    return KINDS[kind_of(tensors)].load(tensors, device)
