"""What every base codec offers to the pipeline, the adapters and the training."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from icmhcodec.codecs.transforms import Adapters
from icmhcodec.container import Region
from icmhcodec.entropy.model import EntropyModel
from icmhcodec.entropy.regions import Size, Source

QUALITY_UNIT = 256  # qualities are integers in 1/256


class BaseCodec(ABC):
    """A frozen codec: float32 or bfloat16 transforms around an entropy stage in exact integers."""

    id: str
    fingerprint: bytes  # first 8 bytes of SHA-256 over all that decides decoding
    latent_channels: int
    hyper_channels: int
    encoder_channels: tuple[int, ...]  # channels at each place for an adapter, in order
    decoder_channels: tuple[int, ...]
    levels: int  # number of trained gains; 1 = one fixed rate, whatever the quality
    default_skip: int  # scale indexes below are not coded; 0 = off
    device: torch.device
    dtype: torch.dtype
    entropy: EntropyModel

    @abstractmethod
    def analysis(self, x: Tensor, adapters: Adapters = ()) -> Tensor:
        """Latent [B,M,H/16,W/16], without gain, of pictures [B,3,H,W] in [0,1]."""

    @abstractmethod
    def hyper_analysis(self, y: Tensor) -> Tensor:
        """Hyper-latent [B,N,h/4,w/4] of a latent [B,M,h,w] that carries its gain."""

    @abstractmethod
    def synthesis(self, y: Tensor, adapters: Adapters = ()) -> Tensor:
        """Pictures [B,3,16h,16w], not clamped, of a latent [B,M,h,w] without gain."""

    @abstractmethod
    def analysis_part(
        self, read: Source, size: Size, region: Region, adapters: Adapters = ()
    ) -> Tensor:
        """What `analysis` gives in a region of the latent, up to rounding, in less memory.

        `read` gives regions of pictures whose `size` (rows, columns) is whole multiples of 64.
        """

    @abstractmethod
    def hyper_analysis_part(self, read: Source, size: Size, region: Region) -> Tensor:
        """What `hyper_analysis` gives in a region; `read` gives regions of the latent of `size`."""

    @abstractmethod
    def synthesis_part(
        self, read: Source, size: Size, region: Region, adapters: Adapters = ()
    ) -> Tensor:
        """What `synthesis` gives in a region of the picture, up to rounding, in less memory.

        `read` gives regions of the latent of `size`, and is asked for one that lies within
        `synthesis_needs`.
        """

    @abstractmethod
    def synthesis_needs(self, size: Size, region: Region, adapters: Adapters = ()) -> Region:
        """The region of a latent of `size` that decides a region of the picture."""

    @abstractmethod
    def gains(self, quality: int) -> tuple[Tensor, Tensor]:
        """Gain and inverse gain, float32 [M] each, of a quality in 1/256.

        UsageError outside of 0 to 9 * 256.
        """

    def tradeoff(self, quality: int) -> float | None:
        """The lambda that a quality in 1/256 was trained for, None where nobody says.

        lambda 255² times the mean squared error of pixels in [0,1] is worth so many bits per pixel.
        """
        del quality
        return None

    @abstractmethod
    def to(self, device: str | torch.device, dtype: torch.dtype) -> BaseCodec:
        """The same codec on another device, its transforms in float32 or bfloat16."""
