"""Exact integer networks."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icmhcodec.entropy import integers
from icmhcodec.entropy.integers import (
    OUTPUT_LIMIT,
    VALUE_LIMIT,
    WEIGHT_LIMIT,
    Activation,
    FloatLayer,
    IntegerNetwork,
    Kind,
    quantise,
    to_extra,
)
from icmhcodec.entropy.regions import crop
from icmhcodec.errors import FormatError, UsageError

RELU = Activation.RELU


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def hyper_layers(n: int = 5, m: int = 7) -> list[FloatLayer]:
    half = torch.randn
    return [
        FloatLayer(half(n, m, 5, 5) / 9, half(m), 8, Kind.DECONV, Activation.LEAKY),
        FloatLayer(half(m, 9, 5, 5) / 9, half(9), 8, Kind.DECONV, Activation.RELU),
        FloatLayer(half(4, 9, 3, 3) / 9, half(4), torch.tensor([12, 12, 8, 8])),
    ]


def mask_layers(n: int = 6, width: int = 10) -> list[FloatLayer]:
    return [
        FloatLayer(torch.randn(width, n, 1, 1) / 3, torch.randn(width), 7, Kind.CONV, RELU),
        FloatLayer(torch.randn(width, 1, 5, 5) / 5, None, 7, Kind.DEPTHWISE, Activation.LEAKY),
        FloatLayer(torch.randn(width, 1, 3, 3) / 3, torch.randn(width), 7, Kind.DEPTHWISE),
        FloatLayer(torch.randn(3, width, 3, 3) / 9, torch.randn(3), 10),
    ]


def subpixel_layers(n: int = 5, m: int = 6) -> list[FloatLayer]:
    return [
        FloatLayer(torch.randn(4 * m, n, 3, 3) / 7, torch.randn(4 * m), 8, Kind.SUBPIXEL, RELU),
        FloatLayer(torch.randn(m, m, 1, 1) / 3, torch.randn(m), 8, activation=Activation.LEAKY),
        FloatLayer(torch.randn(12, m, 5, 5) / 12, torch.randn(12), 10, Kind.SUBPIXEL),
    ]


def floats(layers: list[FloatLayer], x: Tensor, extra: Tensor | float = 0.0) -> Tensor:
    """The float network, with the same float16 weights."""
    for i, layer in enumerate(layers):
        weight, activation = layer.weight.half(), layer.activation
        x = replace(layer, weight=weight, activation=Activation.NONE)(x)
        x = x + extra if i == 0 else x
        if activation is Activation.RELU:
            x = F.relu(x)
        if activation is Activation.LEAKY:
            x = F.leaky_relu(x, 0.01)
    return x


def slow(tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    """The definition in int64, by torch's own integer arithmetic on zero-stuffed inputs."""
    x = x.long().clamp(-VALUE_LIMIT, VALUE_LIMIT)
    last = max(int(name.split(".")[0]) for name in tensors if name.endswith("spec"))
    for i in range(last + 1):
        weight, bias = tensors[f"{i}.weight"].long(), tensors[f"{i}.bias"]
        shift = tensors[f"{i}.shift"].long()[:, None, None]
        kind, activation = tensors[f"{i}.spec"].tolist()
        if kind == Kind.DECONV:
            stuffed = x.new_zeros(len(x), 2 * x.shape[1], 2 * x.shape[2])
            stuffed[:, ::2, ::2] = x
            x, weight = stuffed, weight.transpose(0, 1).flip(2, 3)
        k = weight.shape[-1]
        padded = F.pad(x, (k // 2,) * 4)
        windows = padded.unfold(1, k, 1).unfold(2, k, 1)  # [C, H, W, k, k]
        if kind == Kind.DEPTHWISE:
            sums = (windows * weight[:, 0][:, None, None]).sum((3, 4))
        else:
            sums = torch.stack([(windows * w[:, None, None]).sum((0, 3, 4)) for w in weight])
        half = torch.where(shift > 0, 1 << (shift - 1).clamp_min(0), 0)
        limit = OUTPUT_LIMIT if i == last else VALUE_LIMIT
        x = ((sums + bias[:, None, None] + half) >> shift).clamp(-limit, limit)
        x = F.pixel_shuffle(x, 2) if kind == Kind.SUBPIXEL else x
        if activation == Activation.RELU:
            x = x.clamp_min(0)
        if activation == Activation.LEAKY:
            x = torch.where(x < 0, (x * 655 + 2**15) >> 16, x)
    return x


def inputs(channels: int, height: int, width: int) -> Iterator[Tensor]:
    """Small values, all within the limit, only the limits, and far more than allowed."""
    size = (channels, height, width)
    yield torch.randint(-50, 51, size, dtype=torch.int32)
    yield torch.randint(-VALUE_LIMIT, VALUE_LIMIT + 1, size, dtype=torch.int32)
    yield torch.where(torch.rand(size) < 0.5, -VALUE_LIMIT, VALUE_LIMIT).int()
    yield torch.full(size, -(2**31), dtype=torch.int32)


@given(st.data(), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_a_region_is_exactly_that_of_the_whole(
    data: st.DataObject, rows: int, columns: int
) -> None:
    layers = data.draw(st.sampled_from([hyper_layers, mask_layers, subpixel_layers]))
    network = IntegerNetwork(quantise(layers(), 4))
    size = rows * network.scale, columns * network.scale
    spans = [
        sorted(data.draw(st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True)))
        for side in size
    ]
    region = tuple((start, end) for start, end in spans)
    x = torch.randint(-VALUE_LIMIT, VALUE_LIMIT + 1, (network.inputs, rows, columns))
    whole = network(x)
    for reference in (False, True):
        assert torch.equal(network(x, region=region, reference=reference), crop(whole, region))
    # What lies outside of what is needed has no influence.
    inside = network.needed(region, (rows, columns))
    other = torch.zeros_like(x)
    crop(other, inside).copy_(crop(x, inside))
    assert torch.equal(network(other, region=region), crop(whole, region))


@pytest.mark.parametrize("layers", [hyper_layers, mask_layers, subpixel_layers])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 2)])
def test_both_paths_follow_the_definition(layers: type, size: tuple[int, int]) -> None:
    tensors = quantise(layers(), 4)
    network = IntegerNetwork(tensors)
    for x in inputs(network.inputs, *size):
        wanted = slow(tensors, x)
        for reference in (False, True):
            found = network(x, reference=reference)
            assert found.dtype == torch.int32
            assert torch.equal(found, wanted.int())
        assert found.shape == (network.outputs, *(side * network.scale for side in size))


@pytest.mark.parametrize("kind", [Kind.CONV, Kind.DECONV])
def test_extreme_weights_and_values_stay_exact(kind: Kind) -> None:
    outputs, depth = 16, 40  # 40 * 25 * 8127 < 2^23
    sign = torch.where(torch.rand(outputs, depth, 5, 5) < 0.5, -1, 1)
    sign[0], sign[1] = 1, -1
    weight = (sign * WEIGHT_LIMIT).short()
    digit = (sign * 64).short()  # upper digit 1 or 0, lower digit -64 in both
    for integer in (weight, digit):
        tensors = {
            "0.weight": (integer.transpose(0, 1) if kind is Kind.DECONV else integer).contiguous(),
            "0.bias": torch.full((outputs,), 2**40),
            "0.shift": torch.full((outputs,), 17, dtype=torch.int32),
            "0.spec": torch.tensor([kind, Activation.NONE], dtype=torch.int32),
            "extra": torch.zeros(outputs, dtype=torch.int64),
        }
        network = IntegerNetwork(tensors)
        for x in inputs(depth, 6, 6):
            assert torch.equal(network(x), network(x, reference=True))
            assert torch.equal(network(x), slow(tensors, x).int())


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for layers in (hyper_layers(), mask_layers(), subpixel_layers()):
        network = IntegerNetwork(quantise(layers, 4))
        x = torch.randint(-900, 900, (network.inputs, 9, 7), dtype=torch.int32)
        whole = network(x)
        monkeypatch.setattr(integers, "BLOCK", 1)
        assert torch.equal(network(x), whole)
        assert torch.equal(network(x, reference=True), whole)
        monkeypatch.undo()


@pytest.mark.parametrize("mkldnn", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layers", [hyper_layers, subpixel_layers])
def test_threads_kernels_and_layouts_change_nothing(
    mkldnn: bool, threads: int, layers: Callable[[int, int], list[FloatLayer]]
) -> None:
    network = IntegerNetwork(quantise(layers(32, 48), 4))
    x = torch.randint(-300, 300, (32, 10, 12), dtype=torch.int32)
    wanted = network(x, reference=True)
    layouts = (x, x.permute(1, 2, 0).contiguous().permute(2, 0, 1), x.long())
    before = torch.get_num_threads(), torch.backends.mkldnn.set_flags(mkldnn)[0]
    torch.set_num_threads(threads)
    try:
        assert integers._fast(x.device) is (mkldnn and torch.backends.mkldnn.is_available())
        assert all(torch.equal(network(y), wanted) for y in layouts)
    finally:
        torch.set_num_threads(before[0])
        torch.backends.mkldnn.set_flags(before[1])


@pytest.mark.parametrize(
    ("layers", "bits"), [(hyper_layers, 4), (mask_layers, 7), (subpixel_layers, 6)]
)
def test_it_follows_the_float_network(layers: type, bits: int) -> None:
    made = layers()
    network = IntegerNetwork(quantise(made, bits))
    x = torch.randint(-60, 60, (network.inputs, 6, 5), dtype=torch.int32)
    wanted = floats(made, x / 2**bits)
    output_bits = torch.as_tensor(made[-1].output_bits).expand(network.outputs)
    found = network(x) / 2.0 ** output_bits[:, None, None]
    assert (found - wanted).abs().max() < 0.02 * wanted.abs().max()


def test_a_call_adds_to_the_first_layer() -> None:
    layers = mask_layers()
    values = torch.randn(10)
    tensors = quantise(layers, 7, values.abs())
    network = IntegerNetwork(tensors)
    x = torch.randint(-60, 60, (6, 4, 4), dtype=torch.int32)
    extra = to_extra(tensors, values, 7)
    wanted = floats(layers, x / 128, values[:, None, None])
    found = network(x, extra)
    assert (found / 1024 - wanted).abs().max() < 0.02 * wanted.abs().max()
    assert torch.equal(found, network(x, extra, reference=True))
    assert not torch.equal(found, network(x))
    assert torch.equal(network(x, torch.zeros_like(extra)), network(x))
    for wrong in (4 * extra, extra[:5], extra.float()):
        with pytest.raises(UsageError, match="first layer"):
            network(x, wrong)


def test_inputs_are_checked() -> None:
    network = IntegerNetwork(quantise(mask_layers(), 7))
    for shape in ((5, 4, 4), (6, 4), (1, 6, 4, 4), (6, 0, 4)):
        with pytest.raises(UsageError, match="input"):
            network(torch.zeros(shape, dtype=torch.int32))
    with pytest.raises(UsageError, match="input"):
        network(torch.zeros(6, 4, 4))


def damaged(name: str, value: Tensor | None) -> dict[str, Tensor]:
    tensors = {f"n.{key}": tensor.clone() for key, tensor in quantise(hyper_layers(), 4).items()}
    if value is None:
        del tensors[f"n.{name}"]
    else:
        tensors[f"n.{name}"] = value.expand(tensors[f"n.{name}"].shape).clone()
    return tensors


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("1.weight", torch.tensor(WEIGHT_LIMIT + 1, dtype=torch.int16)),
        ("1.weight", torch.tensor(-(2**15), dtype=torch.int16)),
        ("1.weight", torch.tensor(1.0)),
        ("1.bias", torch.tensor(2**53)),
        ("1.bias", torch.tensor(-(2**63))),
        ("2.bias", torch.tensor(2**53 - 2**20)),
        ("0.bias", torch.tensor(0.5)),
        ("extra", torch.tensor(-1)),
        ("extra", torch.tensor(2**53 - 5)),
        ("extra", torch.tensor(2**63 - 1)),
        ("1.shift", torch.tensor(-1, dtype=torch.int32)),
        ("1.shift", torch.tensor(41, dtype=torch.int32)),
        ("1.spec", torch.tensor([0, 1], dtype=torch.int32)),  # another kind: shapes do not fit
        ("1.spec", torch.tensor([9, 1], dtype=torch.int32)),
        ("1.spec", torch.tensor([1, 9], dtype=torch.int32)),
        ("1.spec", None),
        ("1.weight", None),
        ("extra", None),
    ],
)
def test_networks_without_proof_are_refused(name: str, value: Tensor | None) -> None:
    with pytest.raises(FormatError, match="integer network"):
        IntegerNetwork(damaged(name, value), "n.")


def test_too_many_large_weights_are_refused() -> None:
    # 2^23 / 8127 = 1032.2 weights of the largest size
    for depth, fits in ((1032, True), (1033, False)):
        tensors = {
            "0.weight": torch.full((1, depth, 1, 1), WEIGHT_LIMIT, dtype=torch.int16),
            "0.bias": torch.zeros(1, dtype=torch.int64),
            "0.shift": torch.zeros(1, dtype=torch.int32),
            "0.spec": torch.zeros(2, dtype=torch.int32),
            "extra": torch.zeros(1, dtype=torch.int64),
        }
        if fits:
            network = IntegerNetwork(tensors)
            x = torch.full((depth, 1, 1), -VALUE_LIMIT, dtype=torch.int32)
            assert torch.equal(network(x), network(x, reference=True))
        else:
            with pytest.raises(FormatError):
                IntegerNetwork(tensors)


def test_outputs_that_are_no_squares_are_refused() -> None:
    with pytest.raises(FormatError, match="channels"):
        quantise([FloatLayer(torch.ones(6, 2, 3, 3), None, 4, Kind.SUBPIXEL)], 4)


def test_no_layers_or_layers_that_do_not_chain_are_refused() -> None:
    with pytest.raises(FormatError):
        IntegerNetwork({})
    layers = hyper_layers()
    with pytest.raises(FormatError, match="channels"):
        quantise([layers[0], layers[2]], 4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(UsageError, match="finite"):
        quantise([FloatLayer(torch.full((2, 2, 1, 1), value), None, 4)], 4)


def test_weights_too_large_for_the_bits_are_refused() -> None:
    with pytest.raises(UsageError, match="too large"):
        quantise([FloatLayer(torch.full((2, 2, 1, 1), 3e4), None, 12)], 4)


def test_channels_of_zeros_and_of_tiny_weights_are_fine() -> None:
    weight = torch.zeros(3, 2, 3, 3)
    weight[1], weight[2] = 2**-20, 1
    network = IntegerNetwork(quantise([FloatLayer(weight, torch.ones(3), 8)], 4))
    found = network(torch.full((2, 3, 3), 160, dtype=torch.int32))[:, 1, 1]
    assert found.tolist() == [256, 256, 256 + 18 * 10 * 256]


def test_weights_follow_their_float16_rounding() -> None:
    layers = hyper_layers()
    rounded = [
        FloatLayer(x.weight.half(), x.bias, x.output_bits, x.kind, x.activation) for x in layers
    ]
    first, second = quantise(layers, 4), quantise(rounded, 4)
    assert all(torch.equal(first[name], second[name]) for name in first)
