import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec import modelfile
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.masks import kinds
from icmhcodec.masks.predictor import Condition
from tests.masks.nets import inputs, net


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_an_export_says_its_kind(kind: str) -> None:
    tensors = kinds.export(net(kind))
    assert kinds.kind_of(tensors) == kind
    assert all(tensor.is_contiguous() for tensor in tensors.values())
    assert torch.equal(
        kinds.load(tensors)(*inputs(0), Condition(9, 1, 9)),
        kinds.load(kinds.export(net(kind)))(*inputs(0), Condition(9, 1, 9)),
    )


def test_kinds_have_fingerprints_of_their_own() -> None:
    found = {modelfile.fingerprint(kinds.export(net(kind))) for kind in kinds.KINDS}
    assert len(found) == len(kinds.KINDS)


@pytest.mark.parametrize("kind", sorted(set(kinds.KINDS) - {"light"}))
def test_one_kind_is_not_taken_for_another(kind: str) -> None:
    tensors = kinds.export(net(kind))
    for other in set(kinds.KINDS) - {kind, "channels"}:
        mark = kinds.export(net(other)).get("kind")
        changed = {k: v for k, v in tensors.items() if k != "kind"}
        if mark is not None:
            changed["kind"] = mark
        with pytest.raises(FormatError):
            kinds.load(changed)


def test_kinds_that_there_are_not_are_refused() -> None:
    with pytest.raises(UsageError, match="one of light, icmh-net, channels"):
        kinds.create("heavy", 12)
    good = kinds.export(net("channels"))
    for mark in (good["kind"].int(), good["kind"][:-1], torch.empty(0), torch.tensor(3)):
        with pytest.raises(FormatError, match="does not know"):
            kinds.load({**good, "kind": mark})


GOOD = {kind: kinds.export(net(kind)) for kind in kinds.KINDS}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_altered_predictors_are_refused_or_predict(kind: str, data: st.DataObject) -> None:
    tensors = dict(GOOD[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(tensors)))
        tensors[name] = _altered(tensors[name], data)
    try:
        predictor = kinds.load(tensors)
    except FormatError:
        return
    mean, index = inputs(0)
    for level in (1, 4):
        assert predictor(mean, index, Condition(1000, level, 700)).shape == mean.shape


def _altered(tensor: torch.Tensor, data: st.DataObject) -> torch.Tensor:
    how = data.draw(st.sampled_from(["value", "shape", "type", "cut"]))
    if how == "value" and tensor.numel():
        changed = tensor.clone().reshape(-1)
        place = data.draw(st.integers(0, changed.numel() - 1))
        low, high = (-(2**62), 2**62) if tensor.dtype == torch.int64 else (-128, 127)
        value = data.draw(st.integers(low, high))
        changed[place] = value % 256 if tensor.dtype == torch.uint8 else value
        return changed.reshape(tensor.shape)
    if how == "shape":
        return tensor.reshape(-1)
    if how == "type":
        kind = data.draw(st.sampled_from([torch.int16, torch.int32, torch.float32, torch.uint8]))
        return tensor.to(kind)
    return tensor[: data.draw(st.integers(0, max(len(tensor) - 1, 0)))] if tensor.ndim else tensor
