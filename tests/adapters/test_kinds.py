import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.adapters import bundles, kinds
from icmhcodec.adapters.contract import Adapter
from icmhcodec.adapters.kinds import KINDS, create, export_stages, load_stages, stage_adapters
from icmhcodec.errors import FormatError, UsageError

from .fill import fill


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("kind", "width", "total"),
    [
        ("sfma", 1, 5_622),
        ("sfma", 32, 138_240),
        ("sfma", 64, 287_232),
        ("sfma", 128, 622_080),
        ("sma", 64, 158_976),
        ("fma", 64, 128_256),
        ("fma-sma", 64, 287_232),
        ("sma-fma", 64, 287_232),
        ("two-sma", 64, 317_952),
        ("naive", 64, 99_456),
        ("naive", 96, 148_800),
    ],
)
def test_six_adapters_have_the_published_number_of_parameters(
    kind: str, width: int, total: int
) -> None:
    assert _count(stage_adapters([128] * 6, width, kind=kind)) == total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [0, 8])
def test_an_untrained_adapter_changes_nothing(kind: str, window: int) -> None:
    x = torch.randn(2, 6, 12, 20)
    assert torch.equal(create(kind, 6, 4, window)(x), x)


def test_an_unknown_kind_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="adapter 'none': one of sfma, sma"):
        create("none", 6)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("span", [(0, 5), (3, 11), (8, 16), (15, 24), (23, 24)])
def test_a_part_gives_the_features_of_the_whole(kind: str, span: tuple[int, int]) -> None:
    adapter = fill(create(kind, 6, 4, 8))
    x = torch.randn(1, 6, 24, 21)
    first, last = (min(max(end, 0), 24) for end in adapter.step.needed(span))
    part = adapter(x[:, :, first:last], (first, 0))[:, :, span[0] - first : span[1] - first]
    torch.testing.assert_close(part, adapter(x)[:, :, span[0] : span[1]])


@pytest.mark.parametrize("kind", KINDS)
def test_exported_stages_come_back_as_float16(kind: str) -> None:
    first, last = fill(create(kind, 6, 4, 8), 1), fill(create(kind, 8, 4, 8), 2)
    tensors = export_stages({"decoder": [first, None, last]})
    assert kinds.kind_of(tensors) == kind
    assert load_stages(tensors, "encoder", 3) == [None, None, None]
    loaded = load_stages(tensors, "decoder", 3)
    assert loaded[1] is None
    for before, after in ((first, loaded[0]), (last, loaded[2])):
        assert type(after) is type(before)
        assert after.window == 8
        for name, tensor in before.half().float().state_dict().items():
            assert torch.equal(after.state_dict()[name], tensor)


def test_the_kind_decides_the_fingerprint() -> None:
    parts = {kind: export_stages({"decoder": [create(kind, 6, 4)]}) for kind in KINDS}
    prints = {kind: modelfile.fingerprint(tensors) for kind, tensors in parts.items()}
    assert len(set(prints.values())) == len(KINDS)
    assert "kind" not in parts["sfma"]


def test_the_first_packaged_bundle_is_what_it_was() -> None:
    path = bundles.PACKAGED / "det-0.adapter.safetensors"
    model, reference = bundles.read(path)
    assert kinds.kind_of(model.tensors) == "sfma"
    again = export_stages({"decoder": load_stages(model.tensors, "decoder", 3)})
    assert modelfile.fingerprint(again) == reference.fingerprint


def test_tensors_of_something_else_are_refused() -> None:
    with pytest.raises(FormatError, match="adapter"):
        load_stages({"decoder.0.weight": torch.zeros(3), "window": torch.tensor([8])}, "decoder", 3)
    good = export_stages({"decoder": [create("sfma", 6, 4)]})
    with pytest.raises(FormatError, match="not those of 'sfma'"):
        load_stages({k: v for k, v in good.items() if k != "window"}, "decoder", 1)


_MARKS = [
    torch.tensor(list(b"sfm"), dtype=torch.uint8),
    torch.tensor(list(b"sma"), dtype=torch.int64),
    torch.tensor([list(b"sma")], dtype=torch.uint8),
    torch.empty(0, dtype=torch.uint8),
    torch.tensor(3, dtype=torch.uint8),
    torch.full((1000,), torch.nan),
]


@pytest.mark.parametrize("mark", _MARKS)
def test_a_kind_that_is_none_is_refused(mark: Tensor) -> None:
    good = export_stages({"decoder": [create("sma", 6, 4)]})
    with pytest.raises(FormatError, match="a kind that this version does not know"):
        load_stages({**good, "kind": mark}, "decoder", 1)


@pytest.mark.parametrize("mark", [kind for kind in KINDS if kind not in ("sfma", "two-sma")])
def test_another_kind_than_the_tensors_is_refused(mark: str) -> None:
    good = export_stages({"decoder": [create("two-sma", 6, 4)]})
    with pytest.raises(FormatError, match="not those of"):
        load_stages({**good, "kind": torch.tensor(list(mark.encode()), dtype=torch.uint8)},
                    "decoder", 1)  # fmt: skip


_VALUES = st.sampled_from(
    [torch.zeros(0), torch.zeros(3), torch.full((4, 6, 1, 1), torch.inf), torch.zeros(4, 6, 1, 1),
     torch.zeros(2_000_000, 1, 1, 1, dtype=torch.float16), torch.zeros(2, dtype=torch.int32),
     torch.tensor([-1], dtype=torch.int32), torch.tensor([2**31 - 1], dtype=torch.int32)]
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(KINDS)), st.data())
def test_hostile_tensors_are_refused_or_finite(kind: str, data: st.DataObject) -> None:
    tensors = export_stages({"decoder": [create(kind, 6, 4, 8)]})
    for name in data.draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=3)):
        tensors[name] = data.draw(_VALUES)
    try:
        (stage,) = load_stages(tensors, "decoder", 1)
    except FormatError:
        return
    assert isinstance(stage, Adapter)
    assert stage(torch.rand(1, stage.channels, 5, 7)).isfinite().all()
