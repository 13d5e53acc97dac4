"""Spatial-frequency modulation adapters (Adapt-ICMH, ECCV 2024, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.container import Span
from icmhcodec.entropy.regions import Size, Step
from icmhcodec.errors import FormatError

WINDOW = 32
MOST_WINDOW = 256  # of a file: features are padded to whole windows
MOST_SIDE = 1 << 30  # of features
SPREAD = 2  # what the spatial branch sees around a position


class FrequencyModulation(nn.Module):
    """FMA: modulates the amplitudes of the feature spectrum and keeps their phases (eq. 3).

    `window` > 0 takes the spectrum of fixed windows with an orthonormal FFT, so that its
    statistics do not depend on the size of the picture and windows can be decoded alone;
    `window` = 0 is the paper's form, one unnormalised spectrum of the whole map.
    """

    def __init__(self, channels: int, width: int, window: int = WINDOW) -> None:
        super().__init__()
        self.window = window
        self.down = nn.Conv2d(channels, width, 1)
        self.spread = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.mix = nn.Conv2d(width, width, 1)
        self.up = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Correction [B,C,H,W] to features x [B,C,H,W], whose first position is the origin."""
        features = self.down(x)
        modulated = (
            _in_windows(features, self.window, origin, self._modulate)
            if self.window
            else self._modulate(features, "backward")
        )
        correction: Tensor = self.up(F.relu(modulated))
        return correction

    def _modulate(self, features: Tensor, norm: str = "ortho") -> Tensor:
        spectrum = torch.fft.rfft2(features, norm=norm)
        gate = torch.sigmoid(self.mix(F.relu(self.spread(spectrum.abs()))))
        # A real factor on the complex spectrum changes amplitudes and keeps phases.
        modulated: Tensor = torch.fft.irfft2(spectrum * gate, s=features.shape[-2:], norm=norm)
        return modulated


def _in_windows(
    x: Tensor, window: int, origin: Size, function: Callable[[Tensor], Tensor]
) -> Tensor:
    """Apply a function to every window x window square of x; edges are padded by replication.

    Squares lie on a fixed grid, so that a part of the features that begins at `origin` has those
    of the whole.
    """
    batch, channels, height, width = x.shape
    top, left = (start % window for start in origin)
    bottom, right = -(top + height) % window, -(left + width) % window
    padded = F.pad(x, (left, right, top, bottom), mode="replicate")
    rows, columns = padded.shape[2] // window, padded.shape[3] // window
    tiles = padded.reshape(batch, channels, rows, window, columns, window)
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, window, window)
    tiles = function(tiles).reshape(batch, rows, columns, channels, window, window)
    whole = tiles.permute(0, 3, 1, 4, 2, 5).reshape(padded.shape)
    return whole[..., top : top + height, left : left + width]


class SpatialModulation(nn.Module):
    """SMA: modulates features by a spatial context of 5 x 5 (eq. 2)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.context = nn.Conv2d(channels, width, 1)
        self.spread = nn.Conv2d(width, width, 5, padding=SPREAD, groups=width)
        self.value = nn.Conv2d(channels, width, 1)
        self.up = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Correction [B,C,H,W] to features x [B,C,H,W]."""
        correction: Tensor = self.up(F.relu(self.spread(self.context(x)) * self.value(x)))
        return correction


class SFMA(nn.Module):
    """x + FMA(x) + SMA(x), the two branches in parallel (Adapt-ICMH, eq. 1).

    The last layers start at zero: an untrained adapter is the base codec.
    """

    def __init__(self, channels: int, width: int = 64, window: int = WINDOW) -> None:
        super().__init__()
        self.channels = channels
        self.fma = FrequencyModulation(channels, width, window)
        self.sma = SpatialModulation(channels, width)
        for up in (self.fma.up, self.sma.up):
            nn.init.zeros_(up.weight)
            nn.init.zeros_(up.bias)  # type: ignore[arg-type]

    @property
    def step(self) -> Step:
        """Which features a part of the adapted ones is made of: all windows that it touches."""
        window = self.fma.window

        def needed(span: Span) -> Span:
            if not window:
                return -MOST_SIDE, MOST_SIDE
            first, last = span[0] // window * window, -(-span[1] // window) * window
            return min(first, span[0] - SPREAD), max(last, span[1] + SPREAD)

        return Step(needed)

    def forward(self, x: Tensor, origin: Size = (0, 0)) -> Tensor:
        """Adapted features [B,C,H,W], in the dtype of the adapter's weights.

        x begins at the origin of the whole features. The dtype is float32: depth-wise kernels and
        FFTs gain nothing from bfloat16 on a CPU.
        """
        x = x.to(self.fma.down.weight.dtype)
        adapted: Tensor = x + self.fma(x, origin) + self.sma(x)
        return adapted


def stage_adapters(channels: Sequence[int], width: int = 64, window: int = WINDOW) -> nn.ModuleList:
    """One SFMA for each pluggable stage of a codec's encoder or decoder."""
    return nn.ModuleList([SFMA(c, width, window) for c in channels])


def export_stages(sides: Mapping[str, Sequence[SFMA | None]]) -> dict[str, Tensor]:
    """Tensors of a bundle: the adapters of "encoder" and "decoder" in float16, their window."""
    tensors = {}
    windows = set()
    for side, stages in sides.items():
        for i, stage in enumerate(stages):
            if stage is not None:
                windows.add(stage.fma.window)
                for name, tensor in stage.state_dict().items():
                    tensors[f"{side}.{i}.{name}"] = tensor.detach().cpu().half()
    return {**tensors, "window": torch.tensor(sorted(windows), dtype=torch.int32)}


def load_stages(tensors: Mapping[str, Tensor], side: str, places: int) -> list[SFMA | None]:
    """The trained adapters of one side ("encoder" or "decoder"), None where a stage has none.

    Widths are read off the tensors. Errors: FormatError for tensors that are no adapters.
    """
    try:
        return [_load_stage(tensors, f"{side}.{i}.") for i in range(places)]
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise FormatError(f"adapter: its tensors are not those of an SFMA ({reason})") from error


def _load_stage(tensors: Mapping[str, Tensor], prefix: str) -> SFMA | None:
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    if not state:
        return None
    for name, tensor in state.items():
        if not tensor.is_floating_point() or not tensor.float().isfinite().all():
            raise ValueError(f"{name} holds other than finite numbers")
    width, channels = state["sma.value.weight"].shape[:2]
    if tensors["window"].dtype != torch.int32:
        raise ValueError("window is not int32")
    window = int(tensors["window"])
    if not 0 <= window <= MOST_WINDOW or not width or not channels:
        raise ValueError(f"a window of {window}, {width} of {channels} channels")
    with torch.device("meta"):  # sizes of a file are not to be trusted with memory
        stage = SFMA(channels, width, window)
    stage.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return stage.requires_grad_(False)
