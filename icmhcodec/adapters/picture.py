"""The adapter of a decoded picture: EAC's psi (arXiv 2501.04329, section III-C).

It stands between a task's decoded picture and the task's network, which stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.container import Region
from icmhcodec.entropy.regions import Size, Source, clipped, coarse, crop, grown, scaled
from icmhcodec.errors import FormatError

WIDTHS = 28, 64  # of features at half and at a quarter of the picture's size: 0.17 M parameters
STRIDE = 4  # pixels to a position of the inner features
REACH = 6  # of these positions on each side decide what comes out at one
PREFIX = "picture."
MOST_WIDTH = 1024  # of a file


class TaskAdapter(nn.Module):
    """x + psi(x): strided convolutions, a residual block, transposed convolutions.

    The paper gives psi's 0.17 M parameters and not its widths; these come to as many. The last
    layer starts at zero: an untrained adapter changes nothing.
    """

    def __init__(self, half: int = WIDTHS[0], quarter: int = WIDTHS[1]) -> None:
        super().__init__()
        self.down1 = nn.Conv2d(3, half, 5, 2, 2)
        self.down2 = nn.Conv2d(half, quarter, 5, 2, 2)
        self.block1 = nn.Conv2d(quarter, quarter, 3, padding=1)
        self.block2 = nn.Conv2d(quarter, quarter, 3, padding=1)
        self.up1 = nn.ConvTranspose2d(quarter, half, 5, 2, 2, output_padding=1)
        self.up2 = nn.ConvTranspose2d(half, 3, 5, 2, 2, output_padding=1)
        for parameter in self.up2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Adapted pictures [B,3,H,W], not clamped, of pictures [B,3,H,W], which are: to [0,1]."""
        x = x.float().clamp(0, 1)
        height, width = x.shape[-2:]
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        y = F.relu(self.down1(F.pad(x, padding, mode="replicate")))
        y = F.relu(self.down2(y))
        y = y + self.block2(F.relu(self.block1(y)))
        y = self.up2(F.relu(self.up1(y)))
        adapted: Tensor = x + y[..., :height, :width]
        return adapted

    def part(self, read: Source, size: Size, region: Region) -> Tensor:
        """What `forward` gives in a region, up to rounding; `read` gives pictures' regions.

        The sides of the whole, `size`, are multiples of STRIDE.
        """
        around = needed(size, region)
        (top, _), (left, _) = around
        return crop(self(read(around)), region, (top, left))


def needed(size: Size, region: Region) -> Region:
    """The region of a picture of `size` that an adapted region of it is made of."""
    return clipped(scaled(grown(coarse(region, STRIDE), REACH), STRIDE), size)


def export_task_adapter(module: TaskAdapter) -> dict[str, Tensor]:
    """Its tensors in a bundle's adapter file, in float16."""
    state = module.state_dict().items()
    return {PREFIX + name: tensor.detach().cpu().half().contiguous() for name, tensor in state}


def load_task_adapter(tensors: Mapping[str, Tensor]) -> TaskAdapter | None:
    """The adapter of the picture that a bundle's adapter file holds, or None where it has none.

    FormatError where its tensors are not those of one.
    """
    state = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
    if not state:
        return None
    try:
        for name, tensor in state.items():
            if not tensor.is_floating_point() or not tensor.float().isfinite().all():
                raise ValueError(f"{name} holds other than finite numbers")
        quarter, half = state["down2.weight"].shape[:2]
        if not 1 <= half <= MOST_WIDTH or not 1 <= quarter <= MOST_WIDTH:
            raise ValueError(f"widths of {half} and {quarter}")
        with torch.device("meta"):  # sizes of a file are not to be trusted with memory
            adapter = TaskAdapter(half, quarter)
        adapter.load_state_dict({name: t.float() for name, t in state.items()}, assign=True)
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise FormatError(f"adapter of the picture: its tensors do not fit ({reason})") from error
    return adapter.requires_grad_(False).eval()
