"""The adapter of a task's decoded frames, with the three frames before (arXiv 2501.04329).

It stands between a task's decoded video and the task's network. What it gives is never a reference
of later frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.adapters.picture import MOST_WIDTH, STRIDE, WIDTHS, TaskAdapter
from icmhcodec.errors import FormatError

BEFORE = 3  # frames
MERGED = 32  # features that are made of theirs: 0.20 M parameters in all
PREFIX = "video."


class VideoAdapter(TaskAdapter):
    """x + psi(x, the three frames before): the picture's adapter, and features of those merged in.

    All frames pass the same strided convolutions; the residual block is the current frame's. The
    paper gives psi's 0.20 M parameters and not its widths; these come to as many.
    """

    def __init__(
        self, half: int = WIDTHS[0], quarter: int = WIDTHS[1], merged: int = MERGED
    ) -> None:
        super().__init__(half, quarter)
        self.merge = nn.Conv2d(BEFORE * quarter, merged, 1)
        self.up1 = nn.ConvTranspose2d(quarter + merged, half, 5, 2, 2, output_padding=1)

    def adapted(self, x: Tensor, before: Sequence[Tensor]) -> Tensor:
        """Adapted frames [B,3,H,W], not clamped, of frames [B,3,H,W] and those before, newest last.

        Where there are fewer than three the oldest stands for those that are missing.
        """
        shown = [*before, x][-BEFORE - 1 :]
        shown = [shown[0]] * (BEFORE + 1 - len(shown)) + shown
        frames = torch.cat(shown).float().clamp(0, 1)
        height, width = x.shape[-2:]
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        y = F.relu(self.down1(F.pad(frames, padding, mode="replicate")))
        *earlier, y = torch.split(F.relu(self.down2(y)), len(x))
        merged = F.relu(self.merge(torch.cat(earlier, 1)))
        y = y + self.block2(F.relu(self.block1(y)))
        y = self.up2(F.relu(self.up1(torch.cat([y, merged], 1))))
        adapted: Tensor = frames[-len(x) :] + y[..., :height, :width]
        return adapted

    def forward(self, x: Tensor) -> Tensor:
        """Adapted frames of frames that none came before."""
        return self.adapted(x, ())


def export_video_adapter(module: VideoAdapter) -> dict[str, Tensor]:
    """Its tensors in a bundle's adapter file, in float16."""
    state = module.state_dict().items()
    return {PREFIX + name: tensor.detach().cpu().half().contiguous() for name, tensor in state}


def load_video_adapter(tensors: Mapping[str, Tensor]) -> VideoAdapter:
    """The adapter of a bundle's adapter file; FormatError where its tensors are not those of one.

    Widths are read off the tensors.
    """
    state = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
    try:
        for name, tensor in state.items():
            if not tensor.is_floating_point() or not tensor.float().isfinite().all():
                raise ValueError(f"{name} holds other than finite numbers")
        quarter, half = state["down2.weight"].shape[:2]
        merged = len(state["merge.weight"])
        if not all(1 <= width <= MOST_WIDTH for width in (half, quarter, merged)):
            raise ValueError(f"widths of {half}, {quarter} and {merged}")
        with torch.device("meta"):  # sizes of a file are not to be trusted with memory
            adapter = VideoAdapter(half, quarter, merged)
        adapter.load_state_dict({name: t.float() for name, t in state.items()}, assign=True)
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise FormatError(f"adapter of frames: its tensors do not fit ({reason})") from error
    return adapter.requires_grad_(False).eval()
