import pytest
import torch

from icmhcodec.errors import FormatError
from icmhcodec.masks.predictor import (
    HIGHEST_QUALITY,
    LEVELS,
    LONG_SIDES,
    Condition,
    MaskPredictor,
    PredictorNet,
    export_predictor,
)

M, H, W = 12, 9, 7


def _net(seed: int = 0) -> PredictorNet:
    torch.manual_seed(seed)
    net = PredictorNet(M, 16).requires_grad_(False)
    for table in (net.enter_condition, net.leave_condition):
        for parameter in table.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.5)
    net.slope.copy_(torch.randn(M) * 0.2)
    for parameter in net.parameters():  # what is exported is float16
        if parameter.ndim == 4:
            parameter.copy_(parameter.half().float())
    return net


def _inputs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean = (torch.randn(M, H, W, generator=generator) * 900).int()
    return mean, torch.randint(0, 64, (M, H, W), generator=generator).to(torch.uint8)


@pytest.mark.parametrize(
    "condition",
    [Condition(0, 1, 1), Condition(900, 2, 500), Condition(HIGHEST_QUALITY, LEVELS, 4000)],
)
def test_integers_agree_with_the_trained_network(condition: Condition) -> None:
    net = _net()
    mean, index = _inputs(1)
    logits = net(
        mean[None].float() / 256,
        index[None].long(),
        torch.tensor([condition.quality / 256]),
        torch.tensor([condition.level]),
        torch.tensor([condition.size_class]),
    )[0]
    mask = MaskPredictor(export_predictor(net))(mean, index, condition)
    assert 0.05 < mask.float().mean() < 0.95
    sure = logits.abs() > 0.05
    assert sure.float().mean() > 0.95
    assert torch.equal(mask[sure], (logits > 0)[sure])


def test_every_condition_counts() -> None:
    predictor = MaskPredictor(export_predictor(_net()))
    mean, index = _inputs(2)
    base = predictor(mean, index, Condition(1024, 2, 640))
    others = [Condition(1100, 2, 640), Condition(1024, 3, 640), Condition(1024, 2, 641)]
    for other in others:
        assert not torch.equal(predictor(mean, index, other), base)


@pytest.mark.parametrize("block", [1, 2, 4, 8])
def test_blocks_give_exactly_the_mask_of_the_whole(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = MaskPredictor(export_predictor(_net()))
    mean, index = _inputs(3)
    whole = predictor(mean, index, Condition(1024, 2, 640))
    monkeypatch.setattr("icmhcodec.masks.predictor.BLOCK", block)
    assert torch.equal(predictor(mean, index, Condition(1024, 2, 640)), whole)


def test_nothing_beyond_the_halo_counts() -> None:
    predictor = MaskPredictor(export_predictor(_net()))
    assert predictor.halo == 2
    mean, index = _inputs(4)
    condition = Condition(1024, 2, 640)
    part = predictor(mean[:, 2:], index[:, 2:], condition)
    assert torch.equal(part[:, 2:], predictor(mean, index, condition)[:, 4:])


def test_size_classes_follow_the_long_side() -> None:
    assert [Condition(0, 1, side).size_class for side in (1, 453, 454, 640, 641, 9999)] == [
        0, 0, 1, 2, 3, len(LONG_SIDES),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "condition",
    [Condition(0, 0, 9), Condition(0, LEVELS + 1, 9), Condition(HIGHEST_QUALITY + 1, 1, 9)],
)
def test_conditions_that_were_never_trained_are_refused(condition: Condition) -> None:
    predictor = MaskPredictor(export_predictor(_net()))
    with pytest.raises(FormatError, match="predictor has none"):
        predictor(*_inputs(3), condition)


def test_damaged_tensors_are_refused() -> None:
    good = export_predictor(_net())
    for name in good:
        with pytest.raises(FormatError):
            MaskPredictor({k: v for k, v in good.items() if k != name})
    with pytest.raises(FormatError, match="shape"):
        MaskPredictor({**good, "slope": good["slope"][:-1]})
    with pytest.raises(FormatError, match="shape"):
        MaskPredictor({**good, "enter.level": good["enter.level"][:-1]})
