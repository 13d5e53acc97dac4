"""CompressAI's own mean-scale hyperprior with the weights of a packaged codec: its `compress`.

The same transforms as icmh's, the hyper-decoder in floats, CompressAI's tables and its way to code.
The gain goes into the last convolution of g_a, its inverse into the first of g_s; the medians are
those that icmh rounds around, so that both code the same hyper-symbols. Files are laid out as those
of CompressAI's examples/codec.py, and pictures padded as there: 30 bytes beside the two strings.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec import modelfile
from icmhcodec._compat import import_compressai
from icmhcodec.bench.codecs.plain import PlainCodec
from icmhcodec.bench.contract import ComparedCodec, Pixels, Resources
from icmhcodec.codecs import prior, registry
from icmhcodec.codecs.contract import QUALITY_UNIT
from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.codecs.weights import float_hyper_synthesis
from icmhcodec.entropy.model import MEAN_BITS
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.modelfile import ModelFile
from icmhcodec.pipeline.codec import DEFAULT_BASE

POINTS = (0.0, 1.5, 3.0, 4.5, 6.0, 7.5, 9.0)
STRIDE = 64
HEADER = struct.Struct(">H2I2I")  # quality in 1/256, sides of the picture and of the hyper-latent
# Constants of CompressAI's layers, and tables that `update` makes.
COMPUTED = {
    *("pedestal", "bound", "target", "scale_bound", "scale_table"),
    *("_offset", "_quantized_cdf", "_cdf_length"),
}
PARTS = {"_matrix": "matrices.", "_bias": "biases.", "_factor": "factors."}


class CompressAICodec(PlainCodec):
    """CompressAI's model with icmh's weights; the point is the quality."""

    def __init__(self, name: str, model: ModelFile, threads: int | None) -> None:
        super().__init__(name, POINTS)
        if threads is not None:
            torch.set_num_threads(threads)
        self._model = model
        self._network: Any = None
        self._quality = -1

    def identity(self) -> dict[str, str]:
        """Versions of what computes, and the weights with their fingerprint."""
        fingerprint = modelfile.fingerprint(self._model.tensors).hex()
        return {
            "compressai": metadata.version("compressai"),
            "torch": metadata.version("torch"),
            "weights": f"{self._model.id} {fingerprint}",
        }

    @torch.no_grad()
    def encode(self, pixels: Pixels, point: float) -> bytes:
        """The file at a quality of 0 to 9."""
        quality = round(point * QUALITY_UNIT)
        x = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None] / 255.0
        height, width = pixels.shape[:2]
        padding = _padding(height, width)
        coded = self._at(quality).compress(F.pad(x, padding))
        strings = [string[0] for string in coded["strings"]]
        counted = [struct.pack(">I", len(string)) + string for string in strings]
        header = HEADER.pack(quality, height, width, *coded["shape"])
        return b"".join([header, struct.pack(">I", len(strings)), *counted])

    @torch.no_grad()
    def pixels(self, data: bytes) -> Pixels:
        """The picture of a file; FormatError for what is none."""
        try:
            quality, height, width, *shape = HEADER.unpack_from(data)
            strings = _strings(data[HEADER.size :])
        except struct.error as error:
            raise FormatError(f"{self.name}: the file is cut short") from error
        padded = self._at(quality).decompress(strings, tuple(shape))["x_hat"]
        x = F.pad(padded, [-side for side in _padding(height, width)])
        return (x[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()

    def _at(self, quality: int) -> Any:
        """The network with the gain of a quality in it."""
        if self._network is None:
            self._network = build(self._model, quality / QUALITY_UNIT)
        elif quality != self._quality:
            state = _gained(self._model, quality)
            nn.Module.load_state_dict(self._network, state, strict=False)
        self._quality = quality
        return self._network


def _padding(height: int, width: int) -> list[int]:
    """Left, right, top and bottom, so that sides become multiples of 64."""
    left, top = ((-side % STRIDE) // 2 for side in (width, height))
    return [left, -width % STRIDE - left, top, -height % STRIDE - top]


def _strings(data: bytes) -> list[list[bytes]]:
    (count,) = struct.unpack_from(">I", data)
    strings, place = [], 4
    for _ in range(count):
        (size,) = struct.unpack_from(">I", data, place)
        strings.append([data[place + 4 : place + 4 + size]])
        place += 4 + size
    return strings


def create(options: str, tasks: Sequence[str], resources: Resources) -> list[ComparedCodec]:
    """CompressAI with the weights of a packaged codec, the default one where none is named."""
    del tasks
    name = f"compressai:{options}" if options else "compressai"
    return [CompressAICodec(name, read(options or DEFAULT_BASE), resources.threads)]


def read(base: str) -> ModelFile:
    """The weights of a packaged codec by name; UsageError for another one."""
    codec_id = registry.resolve(base)
    if codec_id not in registry.PACKAGED:
        raise UsageError(f"compressai:{base}: only weights of the package are built in; take icmh:")
    return modelfile.read(registry.WEIGHTS / f"{codec_id}.safetensors")


def load(base: str, quality: float) -> Any:
    """CompressAI's MeanScaleHyperprior of a packaged codec by name, ready to compress."""
    return build(read(base), quality)


def build(model: ModelFile, quality: float) -> Any:
    """CompressAI's MeanScaleHyperprior of a weights file at a quality, its tables made."""
    import_compressai()
    models = importlib.import_module("compressai.models")
    state = state_dict(model, quality)
    N, M = len(state["g_a.0.weight"]), len(state["g_a.6.weight"])
    network = models.MeanScaleHyperprior(N, M)
    network.h_s = _hyper_synthesis(state)
    network.eval().requires_grad_(False)
    # CompressAI's own loading wants stored tables; here they are made afterwards.
    missing, unexpected = nn.Module.load_state_dict(network, state, strict=False)
    left = [key for key in missing if key.rpartition(".")[2] not in COMPUTED]
    if left or unexpected:
        raise RuntimeError(f"weights do not fit CompressAI's model: {[*left, *unexpected]}")
    network.update(force=True)
    return network


def _hyper_synthesis(state: Mapping[str, Tensor]) -> nn.Sequential:
    """CompressAI's h_s, but inside as wide as the weights are: a widened latent's is narrower."""
    N, first, *_ = state["h_s.0.weight"].shape
    second, outputs = state["h_s.2.weight"].shape[1], len(state["h_s.4.weight"])
    return nn.Sequential(
        nn.ConvTranspose2d(N, first, 5, 2, 2, 1), nn.LeakyReLU(),
        nn.ConvTranspose2d(first, second, 5, 2, 2, 1), nn.LeakyReLU(),
        nn.Conv2d(second, outputs, 3, 1, 1),
    )  # fmt: skip


def state_dict(model: ModelFile, quality: float) -> dict[str, Tensor]:
    """Float32 tensors under CompressAI's names, the gain of a quality folded in."""
    tensors = model.tensors
    state = {
        _current_name(name): tensor.float()
        for name, tensor in tensors.items()
        if name.startswith(("g_a.", "g_s.", "h_a.", prior.PREFIX))
    }
    quantiles = state[f"{prior.PREFIX}quantiles"].clone()
    quantiles[:, 0, 1] = _medians(tensors)
    state |= float_hyper_synthesis(tensors) | {f"{prior.PREFIX}quantiles": quantiles}
    return state | _gained(model, round(quality * QUALITY_UNIT))


def _gained(model: ModelFile, quality: int) -> dict[str, Tensor]:
    """The tensors that carry the gain of a quality (in 1/256)."""
    gain, inverse = Hyperprior(model).gains(quality)
    tensors = model.tensors
    return {
        "g_a.6.weight": tensors["g_a.6.weight"].float() * gain[:, None, None, None],
        "g_a.6.bias": tensors["g_a.6.bias"].float() * gain,
        "g_s.0.weight": tensors["g_s.0.weight"].float() * inverse[:, None, None, None],
    }


def _current_name(name: str) -> str:
    """CompressAI 1.2.8's name of a tensor: `_matrix0` of the prior became `matrices.0`."""
    for old, new in PARTS.items():
        name = name.replace(f"{prior.PREFIX}{old}", f"{prior.PREFIX}{new}")
    return name


def _medians(tensors: Mapping[str, Tensor]) -> Tensor:
    return tensors["entropy.medians"].float() * 2.0**-MEAN_BITS
