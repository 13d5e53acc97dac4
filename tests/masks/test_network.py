import pytest
import torch

from icmhcodec.entropy.integers import EXACT
from icmhcodec.errors import FormatError
from icmhcodec.masks import kinds
from icmhcodec.masks.predictor import Condition
from tests.masks.nets import inputs, net

KINDS = pytest.mark.parametrize("kind", ["light", "icmh-net"])
CONDITION = Condition(1024, 2, 640)


@KINDS
@pytest.mark.parametrize("block", [1, 2, 4, 8])
def test_blocks_give_exactly_the_mask_of_the_whole(
    kind: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = kinds.load(kinds.export(net(kind)))
    mean, index = inputs(3)
    whole = predictor(mean, index, CONDITION)
    monkeypatch.setattr("icmhcodec.masks.network.BLOCK", block)
    assert torch.equal(predictor(mean, index, CONDITION), whole)


@KINDS
def test_the_fast_path_gives_the_reference(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = kinds.load(kinds.export(net(kind)))
    mean, index = inputs(5)
    fast = predictor(mean, index, CONDITION)
    monkeypatch.setattr("icmhcodec.entropy.integers._fast", lambda device: False)
    assert torch.equal(predictor(mean, index, CONDITION), fast)


@KINDS
def test_weights_that_are_not_proved_to_be_exact_are_refused(kind: str) -> None:
    good = kinds.export(net(kind))
    worse = {"network.0.bias": EXACT, "network.0.shift": 41, "network.extra": EXACT}
    for name, value in worse.items():
        with pytest.raises(FormatError, match="does not fit"):
            kinds.load({**good, name: torch.full_like(good[name], value)})
    weight = good["network.0.weight"]
    with pytest.raises(FormatError, match="does not fit"):
        kinds.load({**good, "network.0.weight": torch.full_like(weight, 2**15 - 1)})


@KINDS
def test_a_network_of_other_widths_is_refused(kind: str) -> None:
    good = kinds.export(net(kind))
    last = "4" if kind == "light" else "2"
    fewer = {
        k: v[:-1] for k, v in good.items() if k.startswith(f"network.{last}.") and "spec" not in k
    }
    with pytest.raises(FormatError, match="another number of channels"):
        kinds.load({**good, **fewer})
