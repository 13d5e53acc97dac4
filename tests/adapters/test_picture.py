import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec.adapters.picture import (
    REACH,
    STRIDE,
    TaskAdapter,
    export_task_adapter,
    load_task_adapter,
    needed,
)
from icmhcodec.entropy.regions import crop
from icmhcodec.errors import FormatError


def trained(seed: int = 0) -> TaskAdapter:
    """An adapter of random weights, such as float16 holds."""
    torch.manual_seed(seed)
    adapter = TaskAdapter().requires_grad_(False)
    for parameter in adapter.parameters():
        parameter.copy_((torch.randn(parameter.shape) * 0.05).half().float())
    return adapter


ADAPTER = trained()
SIZE = (96, 160)
PICTURE = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
WHOLE = ADAPTER(PICTURE)


def test_it_has_the_papers_size() -> None:
    parameters = sum(p.numel() for p in TaskAdapter().parameters())
    assert round(parameters / 1e6, 2) == 0.17


def test_untrained_it_changes_nothing() -> None:
    assert torch.equal(TaskAdapter()(PICTURE), PICTURE)
    assert torch.equal(TaskAdapter()(PICTURE * 3 - 1), (PICTURE * 3 - 1).clamp(0, 1))


def test_all_of_it_learns_once_the_last_layer_has_moved() -> None:
    adapter = TaskAdapter()
    torch.nn.init.normal_(adapter.up2.weight)
    adapter(PICTURE).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in adapter.parameters())


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (30, 101), (64, 64)])
def test_any_size(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    adapted = ADAPTER(x)
    assert adapted.shape == x.shape
    assert not torch.equal(adapted, x)
    assert torch.allclose(ADAPTER(x[1:]), adapted[1:], atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_part_is_that_of_the_whole(data: st.DataObject) -> None:
    spans = []
    for side in SIZE:
        first = data.draw(st.integers(0, side - 1))
        spans.append((first, data.draw(st.integers(first + 1, side))))
    region = spans[0], spans[1]
    part = ADAPTER.part(lambda r: crop(PICTURE, r), SIZE, region)
    assert torch.allclose(part, crop(WHOLE, region), atol=1e-5)


def test_the_reach_is_no_larger_than_it_must_be() -> None:
    assert needed((400, 400), ((200, 201), (3, 9))) == ((176, 228), (0, 36))
    changed = PICTURE.clone()
    changed[..., : STRIDE * 4] += 0.5
    near = (ADAPTER(changed) - WHOLE).abs().amax((0, 1, 2)).nonzero().max()
    # That far to the right of what was changed; a position less would not do.
    assert STRIDE * (4 + REACH - 1) <= near + STRIDE < STRIDE * (4 + REACH + 1)


def test_a_bundle_brings_it_back() -> None:
    tensors = export_task_adapter(ADAPTER)
    assert all(name.startswith("picture.") for name in tensors)
    assert all(tensor.dtype == torch.float16 for tensor in tensors.values())
    loaded = load_task_adapter({**tensors, "decoder.0.x": torch.zeros(1)})
    assert loaded is not None
    assert torch.equal(loaded(PICTURE), WHOLE)
    assert not any(p.requires_grad for p in loaded.parameters())
    assert load_task_adapter({"decoder.0.x": torch.zeros(1)}) is None


def test_other_tensors_are_refused() -> None:
    good = export_task_adapter(ADAPTER)
    wide = torch.zeros(1025, 1, 1, 1)
    for name, tensor in good.items():
        others = [tensor.int(), tensor[:-1], tensor[None], tensor * torch.nan, tensor[:0], wide]
        for changed in (
            {k: v for k, v in good.items() if k != name},
            *({**good, name: other} for other in others),
        ):
            with pytest.raises(FormatError, match="adapter of the picture"):
                load_task_adapter(changed)
    with pytest.raises(FormatError, match="adapter of the picture"):
        load_task_adapter({**good, "picture.more": torch.zeros(1)})
