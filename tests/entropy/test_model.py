"""The integer side of base codecs."""

import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from icmhcodec.entropy import coder
from icmhcodec.entropy.integers import Activation, FloatLayer, Kind
from icmhcodec.entropy.model import (
    MEAN_BITS,
    EntropyModel,
    export_entropy_model,
    latent_symbols,
    latent_values,
)
from icmhcodec.entropy.regions import crop
from icmhcodec.entropy.tables import scale_table
from icmhcodec.errors import FormatError, IcmhError, UsageError


def mass(values: Tensor) -> Tensor:
    return torch.sigmoid((values + 0.5) / 2) - torch.sigmoid((values - 0.5) / 2)


def hyper_decoder(n: int, m: int, means: bool) -> nn.Sequential:
    torch.manual_seed(3)
    after = nn.LeakyReLU if means else nn.ReLU
    middle, last = (m * 3 // 2, 2 * m) if means else (n, m)
    first = m if means else n
    layers = [
        nn.ConvTranspose2d(n, first, 5, 2, 2, 1),
        after(),
        nn.ConvTranspose2d(first, middle, 5, 2, 2, 1),
        after(),
        nn.Conv2d(middle, last, 3, 1, 1),
    ]
    net = nn.Sequential(*layers) if means else nn.Sequential(*layers, nn.ReLU())
    return net.half().float()


def exported(n: int, m: int, means: bool) -> dict[str, Tensor]:
    net = hyper_decoder(n, m, means)
    after = Activation.LEAKY if means else Activation.RELU
    layers = [
        FloatLayer(net[i].weight, net[i].bias, 0, kind, activation)
        for i, kind, activation in (
            (0, Kind.DECONV, after),
            (2, Kind.DECONV, after),
            (4, Kind.CONV, Activation.NONE),
        )
    ]
    return export_entropy_model(layers, mass, torch.linspace(-3, 3, n), means=means)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return exported(8, 12, True)


@pytest.mark.parametrize("means", [True, False])
def test_parameters_follow_the_float_hyper_decoder(means: bool) -> None:
    model = EntropyModel.from_tensors(exported(8, 12, means))
    assert (model.hyper_channels, model.latent_channels, model.has_means) == (8, 12, means)
    z = torch.randint(-30, 31, (8, 3, 5), dtype=torch.int32)
    mean, index = model.parameters(z)
    assert mean.shape == index.shape == (12, 12, 20)
    assert (mean.dtype, index.dtype) == (torch.int32, torch.uint8)
    with torch.no_grad():
        z_hat = z + model.z_medians[:, None, None] / 2**MEAN_BITS
        wanted = hyper_decoder(8, 12, means)(z_hat[None])[0]
    assert (mean / 2**MEAN_BITS - (wanted[12:] if means else 0)).abs().max() < 0.05
    index_wanted = torch.bucketize(wanted[:12], torch.tensor(scale_table()[:-1]))
    moved = (index.int() - index_wanted).abs()
    assert moved.max() <= 1
    assert moved.float().mean() < 0.02


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 9), st.data())
@settings(max_examples=30, deadline=None)
def test_blocks_and_regions_are_exactly_those_of_the_whole(
    rows: int, columns: int, block: int, data: st.DataObject
) -> None:
    model = _model()
    z = torch.randint(-30, 31, (8, rows, columns), dtype=torch.int32)
    whole = model.parameters(z)
    top, left = data.draw(st.integers(0, 4 * rows - 1)), data.draw(st.integers(0, 4 * columns - 1))
    bottom = data.draw(st.integers(top + 1, 4 * rows))
    region = (top, bottom), (left, 4 * columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icmhcodec.entropy.model.BLOCK", block)
        for found, wanted in zip(model.parameters(z), whole, strict=True):
            assert torch.equal(found, wanted)
        for found, wanted in zip(model.parameters(z, region), whole, strict=True):
            assert torch.equal(found, crop(wanted, region))


@cache
def _model() -> EntropyModel:
    return EntropyModel.from_tensors(exported(8, 12, True))


def test_medians_are_what_the_network_sees(tensors: dict[str, Tensor]) -> None:
    model = EntropyModel.from_tensors(tensors)
    assert (model.z_medians % 16 == 0).all()
    wanted = torch.linspace(-3, 3, 8) * 2**MEAN_BITS
    assert (model.z_medians - wanted).abs().max() <= 8
    z = model.z_medians[:, None, None] / 2**MEAN_BITS + torch.tensor([[-2.4, 0.3, 1.6, 5000]])
    symbols = model.hyper_symbols(z[:, :1])
    assert symbols[0, 0].tolist() == [-2, 0, 2, coder.HYPER_LIMIT]


def test_export_is_deterministic_and_passes_through_a_file(
    tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    again = exported(8, 12, True)
    assert list(again) == list(tensors)
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)
    save_file(tensors, tmp_path / "a.safetensors")
    model = EntropyModel.from_tensors(load_file(tmp_path / "a.safetensors"))
    kept = model.to_tensors()
    assert all(torch.equal(kept[name], tensors[name]) for name in tensors)
    moved = model.to("cpu").parameters(torch.ones(8, 2, 2, dtype=torch.int32))
    assert torch.equal(moved[0], model.parameters(torch.ones(8, 2, 2, dtype=torch.int32))[0])


@pytest.mark.parametrize("value", [-(2**31), 2**31 - 1, 2048])
def test_hostile_symbols_give_parameters_in_range(tensors: dict[str, Tensor], value: int) -> None:
    model = EntropyModel.from_tensors(tensors)
    z = torch.full((8, 2, 3), value, dtype=torch.int32)
    mean, index = model.parameters(z)
    assert mean.abs().max() <= coder.LATENT_LIMIT << MEAN_BITS
    assert index.max() <= 63
    for fast, exact in zip((mean, index), model.parameters(z, reference=True), strict=True):
        assert torch.equal(fast, exact)


def test_symbols_come_back_through_the_coder(tensors: dict[str, Tensor]) -> None:
    model = EntropyModel.from_tensors(tensors)
    z = 4 * torch.randn(8, 3, 4)
    z_symbols = model.hyper_symbols(z)
    rows = model.hyper_indexes(3, 4)
    parts = coder.encode_segments(
        z_symbols.flatten().numpy(), rows, model.z_tables, coder.HYPER_LIMIT
    )
    found = coder.decode_segments(parts, rows, model.z_tables, coder.HYPER_LIMIT)
    assert torch.equal(torch.from_numpy(found).view(8, 3, 4), z_symbols)
    mean, index = model.parameters(z_symbols)
    y = mean / 2**MEAN_BITS + 3 * torch.randn(12, 12, 16)
    symbols = latent_symbols(y, mean)
    rows = index.flatten().numpy()
    parts = coder.encode_segments(symbols.flatten().numpy(), rows, model.y_tables)
    found = coder.decode_segments(parts, rows, model.y_tables)
    values = latent_values(torch.from_numpy(found).view(symbols.shape), mean)
    assert (values - y).abs().max() <= 0.5001


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_latents_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(IcmhError, match="finite"):
        latent_symbols(torch.tensor([[[value]]]), torch.zeros(1, 1, 1, dtype=torch.int32))


def test_huge_latents_are_clamped() -> None:
    mean = torch.zeros(1, 1, 2, dtype=torch.int32)
    symbols = latent_symbols(torch.tensor([[[1e30, -1e30]]]), mean)
    assert symbols.flatten().tolist() == [coder.LATENT_LIMIT, -coder.LATENT_LIMIT]


def test_latent_values_are_exact_in_float32() -> None:
    symbols = torch.tensor([2**15, -(2**15), 5], dtype=torch.int32)
    mean = torch.tensor([2**23 - 1, -(2**23) + 1, -3], dtype=torch.int32)
    wanted = symbols.double() + mean.double() / 2**MEAN_BITS
    assert torch.equal(latent_values(symbols, mean).double(), wanted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("medians", torch.full((8,), 3, dtype=torch.int32)),
        ("medians", torch.full((8,), 2**20, dtype=torch.int32)),
        ("medians", torch.zeros(7, dtype=torch.int32)),
        ("medians", torch.zeros(8)),
        ("thresholds", torch.zeros(63, dtype=torch.int32)),
        ("thresholds", torch.arange(62, dtype=torch.int32)),
        ("means", torch.zeros(2, dtype=torch.int32)),
        ("z.cdfs", torch.zeros(8, 4, dtype=torch.int32)),
        ("h_s.0.weight", torch.zeros(1, dtype=torch.int16)),
        ("means", None),
    ],
)
def test_damaged_models_are_refused(
    tensors: dict[str, Tensor], name: str, value: Tensor | None
) -> None:
    damaged = {key: tensor for key, tensor in tensors.items() if key != f"entropy.{name}"}
    if value is not None:
        damaged[f"entropy.{name}"] = value
    with pytest.raises(FormatError):
        EntropyModel.from_tensors(damaged)


def test_a_hyper_decoder_of_another_scale_is_refused() -> None:
    with pytest.raises(FormatError, match="h_s"):
        export_entropy_model([FloatLayer(torch.ones(8, 8, 3, 3), None, 0)], mass, torch.zeros(8))


def test_inputs_of_another_shape_are_refused(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(UsageError):
        EntropyModel.from_tensors(tensors).parameters(torch.zeros(7, 2, 2, dtype=torch.int32))


CHECKSUM = """
import sys, zlib, torch
from safetensors.torch import load_file
from icmhcodec.entropy.model import EntropyModel
torch.set_num_threads(int(sys.argv[2]))
model = EntropyModel.from_tensors(load_file(sys.argv[1]))
z = (torch.arange(8 * 30 * 20).view(8, 30, 20) * 7919 % 61 - 30).int()
print(sum(zlib.crc32(part.contiguous().numpy().tobytes()) for part in model.parameters(z)))
"""


def test_processes_of_older_instruction_sets_agree(
    tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    save_file(tensors, path)
    z = (torch.arange(8 * 30 * 20).view(8, 30, 20) * 7919 % 61 - 30).int()
    parts = EntropyModel.from_tensors(tensors).parameters(z, reference=True)
    wanted = sum(zlib.crc32(part.contiguous().numpy().tobytes()) for part in parts)
    for onednn, aten, threads in (("AVX2", "avx2", "2"), ("SSE41", "default", "1")):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", onednn)
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", aten)
        command = [sys.executable, "-c", CHECKSUM, str(path), threads]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert int(done.stdout) == wanted
