"""Kinds of adapters, one line each by name, and adapters of all stages in a bundle's tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from icmhcodec.adapters.contract import WIDTH, WINDOW, Adapter
from icmhcodec.adapters.naive import Naive
from icmhcodec.adapters.sfma import FMA, SFMA, SMA, FMAThenSMA, SMAThenFMA, TwoSMA
from icmhcodec.errors import FormatError, UsageError

DEFAULT = "sfma"
KINDS: dict[str, type[Adapter]] = {
    DEFAULT: SFMA,
    "sma": SMA,
    "fma": FMA,
    "fma-sma": FMAThenSMA,
    "sma-fma": SMAThenFMA,
    "two-sma": TwoSMA,
    "naive": Naive,
}
MOST_WINDOW = 256  # of a file: features are padded to whole squares
_MARK = "kind"  # a tensor of the name's ASCII codes; the default has none


def create(kind: str, channels: int, width: int = WIDTH, window: int = WINDOW) -> Adapter:
    """An untrained adapter for a stage; UsageError where there is no such kind."""
    if kind not in KINDS:
        raise UsageError(f"adapter '{kind}': one of {', '.join(KINDS)}")
    return KINDS[kind](channels, width, window)


def stage_adapters(
    channels: Sequence[int], width: int = WIDTH, window: int = WINDOW, kind: str = DEFAULT
) -> nn.ModuleList:
    """One adapter for each pluggable stage of a codec's encoder or decoder."""
    return nn.ModuleList([create(kind, c, width, window) for c in channels])


def export_stages(sides: Mapping[str, Sequence[Adapter | None]]) -> dict[str, Tensor]:
    """Tensors of a bundle: the adapters of "encoder" and "decoder" in float16, window and kind.

    All are of one kind and one window.
    """
    tensors = {}
    kinds, windows = set(), set()
    for side, stages in sides.items():
        for i, stage in enumerate(stages):
            if stage is not None:
                kinds.add(type(stage))
                windows.add(stage.window)
                for name, tensor in stage.state_dict().items():
                    tensors[f"{side}.{i}.{name}"] = tensor.detach().cpu().half()
    (kind,) = (name for name, kind in KINDS.items() if {kind} == kinds) if kinds else (DEFAULT,)
    mark = {} if kind == DEFAULT else {_MARK: _mark(kind)}
    return {**tensors, **mark, "window": torch.tensor(sorted(windows), dtype=torch.int32)}


def _mark(kind: str) -> Tensor:
    return torch.tensor(list(kind.encode()), dtype=torch.uint8)


def kind_of(tensors: Mapping[str, Tensor]) -> str:
    """The kind of a bundle's adapters; FormatError where it is none of these."""
    if _MARK not in tensors:
        return DEFAULT
    mark = tensors[_MARK].cpu()
    for kind in KINDS:
        if mark.dtype == torch.uint8 and torch.equal(mark, _mark(kind)):
            return kind
    raise FormatError("adapter: it is of a kind that this version does not know")


def load_stages(tensors: Mapping[str, Tensor], side: str, places: int) -> list[Adapter | None]:
    """The trained adapters of one side ("encoder" or "decoder"), None where a stage has none.

    Widths are read off the tensors. Errors: FormatError for tensors that are no adapters.
    """
    kind = kind_of(tensors)
    try:
        return [_load_stage(tensors, KINDS[kind], f"{side}.{i}.") for i in range(places)]
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise FormatError(f"adapter: its tensors are not those of '{kind}' ({reason})") from error


def _load_stage(tensors: Mapping[str, Tensor], kind: type[Adapter], prefix: str) -> Adapter | None:
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    if not state:
        return None
    for name, tensor in state.items():
        if not tensor.is_floating_point() or not tensor.float().isfinite().all():
            raise ValueError(f"{name} holds other than finite numbers")
    width, channels = state[kind.sized_by].shape[:2]
    if tensors["window"].dtype != torch.int32:
        raise ValueError("window is not int32")
    window = int(tensors["window"])
    if not 0 <= window <= MOST_WINDOW or not width or not channels:
        raise ValueError(f"a window of {window}, {width} of {channels} channels")
    with torch.device("meta"):  # sizes of a file are not to be trusted with memory
        stage = kind(channels, width, window)
    stage.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return stage.requires_grad_(False)
