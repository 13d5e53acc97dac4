"""The networks that one process keeps: base codecs and adapters on one device."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from icmhcodec.adapters import bundles
from icmhcodec.adapters.contract import Adapter
from icmhcodec.adapters.kinds import load_stages
from icmhcodec.adapters.picture import TaskAdapter, load_task_adapter
from icmhcodec.codecs import registry
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.container import Reference
from icmhcodec.errors import FormatError, UsageError

PRECISIONS = ("auto", "float32", "bfloat16")
# bfloat16 transforms lose under 0.05 dB up to here, and more above.
HIGHEST_BFLOAT16_QUALITY = 5 * 256


def _bfloat16_pays(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return True
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def default_precision(device: str = "cpu") -> str:
    """What "auto" means on a device: it decides how fast pictures are coded and how they round."""
    if not _bfloat16_pays(torch.device(device)):
        return "float32"
    return f"bfloat16 up to quality {HIGHEST_BFLOAT16_QUALITY / 256:g}, float32 above"


def usable(device: str) -> torch.device:
    """A device by name; UsageError where torch cannot use it."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device '{device}': torch cannot use it here") from error
    return found


class Networks:
    """Loads each network once; UsageError for a device or precision that there is not."""

    def __init__(self, device: str, precision: str) -> None:
        if precision not in PRECISIONS:
            raise UsageError(f"precision '{precision}': one of {', '.join(PRECISIONS)}")
        self.device = usable(device)
        self._precision = precision
        self._codecs: dict[tuple[bytes, torch.dtype], BaseCodec] = {}
        self._named: dict[tuple[str, torch.dtype], BaseCodec] = {}
        self._stages: dict[tuple[Reference, str, tuple[int, ...]], list[Adapter | None]] = {}
        self._task_adapters: dict[Reference, TaskAdapter | None] = {}

    def dtype(self, quality: int | None) -> torch.dtype:
        """Precision of the transforms at a quality (1/256 units), or for a search (None)."""
        if self._precision != "auto":
            return torch.bfloat16 if self._precision == "bfloat16" else torch.float32
        low = quality is not None and quality <= HIGHEST_BFLOAT16_QUALITY
        return torch.bfloat16 if low and _bfloat16_pays(self.device) else torch.float32

    def base(self, name: str, dtype: torch.dtype) -> BaseCodec:
        """The base codec of that id or alias."""
        if (name, dtype) not in self._named:
            codec = registry.load(name, self.device, dtype)
            self._named[name, dtype] = self._codecs.setdefault((codec.fingerprint, dtype), codec)
        return self._named[name, dtype]

    def base_of(self, reference: Reference, dtype: torch.dtype) -> BaseCodec:
        """The base codec that a header names; MissingWeightsError unless it is the very same."""
        key = (reference.fingerprint, dtype)
        if key not in self._codecs:
            self._codecs[key] = registry.load_reference(reference, self.device, dtype)
        return self._codecs[key]

    def stages(
        self, reference: Reference, side: str, channels: Sequence[int]
    ) -> Sequence[Adapter | None]:
        """The adapters of one side ("encoder", "decoder") for the channels of its stages.

        MissingWeightsError if they are not here, FormatError if they are for another codec.
        """
        key = (reference, side, tuple(channels))
        if key not in self._stages:
            tensors = bundles.by_reference("adapter", reference).tensors
            stages = load_stages(tensors, side, len(channels))
            if any(s and s.channels != c for s, c in zip(stages, channels, strict=True)):
                raise FormatError(f"adapter {reference.id} is for a codec of other channels")
            self._stages[key] = [stage and stage.to(self.device) for stage in stages]
        return self._stages[key]

    def task_adapter(self, reference: Reference) -> TaskAdapter | None:
        """What an adapter's file has for the decoded picture; None where it has nothing.

        Errors: as of `stages`.
        """
        if reference not in self._task_adapters:
            adapter = load_task_adapter(bundles.by_reference("adapter", reference).tensors)
            self._task_adapters[reference] = adapter and adapter.to(self.device)
        return self._task_adapters[reference]


def reference_of(codec: BaseCodec) -> Reference:
    """What a header says of a base codec."""
    return Reference(codec.id, codec.fingerprint)
