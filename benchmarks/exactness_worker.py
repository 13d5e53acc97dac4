"""One process of the exactness benchmark: encodes or decodes all pictures under one setting.

python -m benchmarks.exactness_worker JOB, the job as JSON; results go to its folder, and what is
there already is not done again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import common
from benchmarks.cases import Case
from icmhcodec import container, modelfile
from icmhcodec.codecs import registry
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.codecs.hyperprior import LEAK, Hyperprior
from icmhcodec.codecs.transforms import Transform
from icmhcodec.codecs.weights import float_hyper_synthesis
from icmhcodec.container import Region
from icmhcodec.entropy import regions
from icmhcodec.entropy.model import MEAN_BITS, SCALE_BITS, EntropyModel
from icmhcodec.errors import IcmhError
from icmhcodec.modelfile import ModelFile
from icmhcodec.pipeline import decode as decoding
from icmhcodec.pipeline import encode as encoding
from icmhcodec.pipeline import latent
from icmhcodec.pipeline.area import area_of
from icmhcodec.pipeline.encode import Options
from icmhcodec.pipeline.latent import LayerToDecode, Quantised
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.tensors import as_picture

FEW, SIDE = 2, 128  # a very slow setting encodes the middle of so many pictures
SHOWN = 2  # pictures that are decoded to pixels under every setting that is not very slow
TF32_BITS = 10  # of the mantissa; float32 has 23
EXACT = "exact"


@dataclass(frozen=True)
class Setting:
    """How a process computes; `h_s` other than "exact" is a negative control in floats."""

    threads: int
    kernels: str  # "default", "no oneDNN" or "AVX2"
    precision: str
    layout: str  # "channels-last" or "contiguous"
    device: str = "cpu"
    h_s: str = EXACT  # "float32", "bfloat16" or "tf32"
    label: str = ""  # of another machine

    @property
    def name(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        kernels = self.device if self.device != "cpu" else f"{threads}, {self.kernels}"
        parts = [self.label, kernels, self.precision, self.layout]
        if self.h_s != EXACT:
            parts.append(f"h_s in {self.h_s}")
        return ", ".join(filter(None, parts))

    @property
    def slug(self) -> str:
        return self.name.replace(", ", "_").replace(" ", "-")

    @property
    def very_slow(self) -> bool:
        """Whether its transforms take minutes for a picture: bfloat16 without fast kernels."""
        return (
            self.precision == "bfloat16"
            and self.layout == "contiguous"
            and (self.kernels != "default")
        )

    @property
    def environment(self) -> dict[str, str]:
        """What has to be set before the process starts."""
        if self.kernels != "AVX2":
            return {}
        return {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


@dataclass(frozen=True)
class Job:
    """What a process does: "encode" pictures, or "decode" the files that other jobs wrote."""

    module: ClassVar[str] = "benchmarks.exactness_worker"  # which does it
    action: str
    setting: Setting
    sources: tuple[str, ...]  # slugs of the encoders to decode; the first one's are also shown
    work: str
    pictures: tuple[str, ...]
    cases: tuple[Case, ...]

    @property
    def bases(self) -> list[str]:
        """Base codecs of all cases."""
        return sorted({case.base for case in self.cases})

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        fields = json.loads(text)
        fields["setting"] = Setting(**fields["setting"])
        for name in ("sources", "pictures"):
            fields[name] = tuple(fields[name])
        cases = [case | {"bundles": tuple(case["bundles"])} for case in fields["cases"]]
        fields["cases"] = tuple(Case(**case) for case in cases)
        return cls(**fields)


PLAINEST = Setting(1, "default", "float32", "channels-last")


def encode_record(work: Path, slug: str) -> Path:
    """File sizes, their SHA-256 and the encoder's own symbols', by picture."""
    return work / "encode" / slug / "record.json"


def decode_record(work: Path, slug: str) -> Path:
    """Symbols' SHA-256, or an error, by the SHA-256 of the file."""
    return work / "decode" / f"{slug}.json"


def shown_pixels(work: Path, slug: str, file: str) -> Path:
    """Pixels that a setting decodes from the file of that SHA-256."""
    return work / "decode" / slug / f"{file}.npy"


def quality_of(number: int) -> float:
    """All qualities come in turn: each picture has one."""
    return float(number % 10)


def case_of(number: int, cases: Sequence[Case]) -> Case:
    """So do all cases, each time at another quality."""
    return cases[(number + number // 10) % len(cases)]


class FloatEntropy(EntropyModel):
    """The entropy model with the hyper-decoder that must not be used: in floats."""

    def __init__(self, tensors: Mapping[str, Tensor], arithmetic: str) -> None:
        super().__init__(tensors, "entropy.")
        self._arithmetic = arithmetic
        self._h_s = float_hyper_synthesis(tensors)

    def parameters(
        self, z_symbols: Tensor, region: Region | None = None, *, reference: bool = False
    ) -> tuple[Tensor, Tensor]:
        medians = self.z_medians[:, None, None] * 2.0**-MEAN_BITS
        x = (z_symbols + medians)[None]
        for i in (0, 2, 4):
            weight, bias = (self._h_s[f"h_s.{i}.{part}"] for part in ("weight", "bias"))
            x, weight, bias = self._operands(x, weight, bias)
            if i < 4:
                x = F.conv_transpose2d(x, weight, bias, stride=2, padding=2, output_padding=1)
                x = F.leaky_relu(x, LEAK)
            else:
                x = F.conv2d(x, weight, bias, padding=1)
        scale, mean = x[0].float().chunk(2)
        index = torch.bucketize(scale * 2**SCALE_BITS, self.thresholds.float(), out_int32=True)
        region = region or regions.whole((index.shape[1], index.shape[2]))
        mean, index = (regions.crop(plane, region) for plane in (mean, index))
        return torch.round(mean * 2**MEAN_BITS).int(), index.to(torch.uint8)

    def _operands(self, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        if self._arithmetic == "bfloat16":
            return x.bfloat16(), weight.bfloat16(), bias.bfloat16()
        if self._arithmetic == "tf32":
            return round_mantissa(x), round_mantissa(weight), bias
        return x, weight, bias


def round_mantissa(x: Tensor, bits: int = TF32_BITS) -> Tensor:
    """Float32 values rounded to so many bits of the mantissa, ties away from zero."""
    drop = 23 - bits
    return ((x.view(torch.int32) + (1 << (drop - 1))) >> drop << drop).view(torch.float32)


def networks_under(setting: Setting, bases: Sequence[str]) -> Networks:
    """The networks as this process is to compute them."""
    torch.set_num_threads(setting.threads)
    torch.backends.mkldnn.enabled = setting.kernels != "no oneDNN"  # type: ignore[assignment]
    networks = Networks(setting.device, setting.precision)
    for base, dtype in product(bases, {torch.float32, networks.dtype(None)}):
        codec = networks.base(base, dtype)
        assert isinstance(codec, Hyperprior)
        path = dict(registry.available())[registry.resolve(base)]
        put_under(setting, codec, modelfile.read(path))
    return networks


def put_under(setting: Setting, codec: Hyperprior, model: ModelFile) -> None:
    """Let a codec, built of that file, compute in the setting's layout and arithmetic."""
    if setting.layout == "contiguous":
        for transform in (codec.g_a, codec.g_s, codec.h_a):
            make_contiguous(transform)
    if setting.h_s != EXACT:
        codec.entropy = FloatEntropy(model.tensors, setting.h_s)


def make_contiguous(transform: Transform) -> None:
    """Let a transform compute channel-major instead of channels-last."""
    for parameter in transform.parameters():
        parameter.data = parameter.data.contiguous()
    transform[0].register_forward_pre_hook(lambda _, arguments: (arguments[0].contiguous(),))


def digest(*tensors: Tensor) -> str:
    """SHA-256 of integer tensors: shapes, and values as little-endian int32 in element order."""
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(str(tuple(tensor.shape)).encode())
        sha.update(tensor.cpu().contiguous().numpy().astype("<i4").tobytes())
    return sha.hexdigest()


def encode_with_digest(
    networks: Networks, base: str, pixels: common.Pixels, options: Options
) -> tuple[bytes, str]:
    """The encoder's file, and the digest of the integers it had in hand while writing it."""
    with watched() as seen, written() as sent:
        data = encoding.encode(networks, base, as_picture(pixels), options).data
    parts = (integers(quantised, sent[id(quantised)]) for quantised in seen)
    return data, digest(*itertools.chain.from_iterable(parts))


@contextmanager
def watched() -> Iterator[list[Quantised]]:
    """What an encoder quantises meanwhile."""
    seen: list[Quantised] = []
    original = latent.quantise

    def quantise(*arguments: Any) -> Quantised:
        seen.append(original(*arguments))
        return seen[-1]

    with patch.object(latent, "quantise", quantise):
        yield seen


@contextmanager
def written() -> Iterator[dict[int, Tensor]]:
    """The elements that an encoder writes meanwhile into all layers of a latent, by its id.

    Where a latent is a task's own and its layer has a predictor, these are not all coded ones.
    """
    found: dict[int, Tensor] = {}
    original = latent._encode_layer

    def encode_layer(codec: BaseCodec, coded: Quantised, *arguments: Any) -> Any:
        mask: Tensor = arguments[3]
        found[id(coded)] = found[id(coded)] | mask if id(coded) in found else mask
        return original(codec, coded, *arguments)

    with patch.object(latent, "_encode_layer", encode_layer):
        yield found


def integers(quantised: Quantised, sent: Tensor | None = None) -> tuple[Tensor, ...]:
    """Hyper-symbols, means, indexes and symbols that are sent; by default all that are coded."""
    symbols = torch.where(quantised.coded if sent is None else sent, quantised.symbols, 0)
    return quantised.z_symbols, quantised.prior.mean, quantised.prior.index, symbols


@torch.no_grad()
def decoded_digest(networks: Networks, data: bytes) -> str:
    """The digest of what a decoder makes of a file.

    Of each group these are hyper-symbols, means, indexes and symbols.
    """
    file = container.parse(data)
    header = file.header
    size = header.width, header.height
    parts: list[Tensor] = []
    for number, group in enumerate(header.groups):
        codec: BaseCodec = networks.base_of(group.codec, torch.float32)
        z_symbols = latent.decode_hyper(codec, group, file.hyper[number], *size).to(codec.device)
        layers = [
            LayerToDecode(n, layer, file.layers[n])
            for n, layer in enumerate(header.layers)
            if layer.group == number
        ]
        area = area_of(*size, header.tiles)
        prior, symbols = latent.decode_layers(codec, z_symbols, group, area, layers)
        parts += [z_symbols, prior.mean, prior.index, symbols]
    return digest(*parts)


def encode(job: Job, networks: Networks) -> None:
    """Encode all pictures, or the middle of FEW where that is very slow."""
    target = encode_record(Path(job.work), job.setting.slug)
    target.parent.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, str]] = {}
    start = time.monotonic()
    pictures = job.pictures[:FEW] if job.setting.very_slow else job.pictures
    for number, path in enumerate(map(Path, pictures)):
        pixels = common.read(path)
        if job.setting.very_slow:
            pixels = middle(pixels)
        case = case_of(number, job.cases)
        options = Options(quality=quality_of(number), **case.options(pixels))
        data, symbols = encode_with_digest(networks, case.base, pixels, options)
        target.with_name(f"{path.stem}.icm").write_bytes(data)
        files[path.stem] = {
            "file": hashlib.sha256(data).hexdigest(),
            "symbols": symbols,
            "case": case.name,
        }
    seconds = (time.monotonic() - start) / len(files)
    common.write_json(target, {"setting": asdict(job.setting), "seconds": seconds, "files": files})


def decode(job: Job, networks: Networks) -> None:
    """Decode every distinct file of the sources to symbols, and a few to pixels."""

    def pixels(data: bytes) -> common.Pixels:
        return decoding.decode(networks, data).picture.pixels

    decode_files(
        Path(job.work), job.setting, job.sources, lambda data: decoded_digest(networks, data),
        None if job.setting.very_slow else pixels,
    )  # fmt: skip


def decode_files(
    work: Path,
    setting: Setting,
    sources: tuple[str, ...],
    digest_of: Callable[[bytes], str],
    pixels_of: Callable[[bytes], common.Pixels] | None,
) -> None:
    """Record the digest of every distinct file of the sources, and the pixels of the shown ones.

    What is recorded already is not decoded again; `pixels_of` is None where none are wanted.
    """
    target = decode_record(work, setting.slug)
    done: dict[str, str] = json.loads(target.read_text())["files"] if target.exists() else {}
    for file, path in distinct_files(work, sources).items():
        if file in done:
            continue
        try:
            done[file] = digest_of(path.read_bytes())
        except IcmhError as error:
            done[file] = f"error: {error}"
        common.write_json(target, {"setting": asdict(setting), "files": done})
    if pixels_of is None or setting.h_s != EXACT:
        return
    for file, path in shown_files(work, sources).items():
        pixels = shown_pixels(work, setting.slug, file)
        if not pixels.exists():
            pixels.parent.mkdir(exist_ok=True)
            np.save(pixels, pixels_of(path.read_bytes()))


def middle(pixels: common.Pixels) -> common.Pixels:
    """The middle SIDE x SIDE pixels."""
    top, left = (max(0, side - SIDE) // 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])


def shown_files(work: Path, sources: tuple[str, ...]) -> dict[str, Path]:
    """The first files of the plainest source."""
    plainest = PLAINEST.slug if PLAINEST.slug in sources else sources[0]
    return dict(list(distinct_files(work, (plainest,)).items())[:SHOWN])


def distinct_files(work: Path, sources: tuple[str, ...]) -> dict[str, Path]:
    """Paths of the sources' files by SHA-256; those of the same bytes once."""
    found: dict[str, Path] = {}
    for slug in sources:
        record = encode_record(work, slug)
        for stem, entry in json.loads(record.read_text())["files"].items():
            found.setdefault(entry["file"], record.with_name(f"{stem}.icm"))
    return found


def run(job: Job) -> None:
    networks = networks_under(job.setting, job.bases)
    {"encode": encode, "decode": decode}[job.action](job, networks)


if __name__ == "__main__":
    run(Job.from_json(sys.argv[1]))
