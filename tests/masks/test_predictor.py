import pytest
import torch

from icmhcodec.errors import FormatError
from icmhcodec.masks import kinds
from icmhcodec.masks.predictor import (
    HIGHEST_QUALITY,
    LEVELS,
    LONG_SIDES,
    MOST,
    Condition,
    long_sides,
    size_class,
)
from tests.masks.nets import inputs, net

KINDS = pytest.mark.parametrize("kind", kinds.KINDS)


@KINDS
@pytest.mark.parametrize(
    "condition",
    [Condition(0, 1, 1), Condition(900, 2, 500), Condition(HIGHEST_QUALITY, LEVELS, 4000)],
)
def test_integers_agree_with_the_trained_network(kind: str, condition: Condition) -> None:
    trained = net(kind)
    mean, index = inputs(1)
    logits = trained(
        mean[None].float() / 256,
        index[None].long(),
        torch.tensor([condition.quality / 256]),
        torch.tensor([condition.level]),
        torch.tensor([size_class(condition.long_side)]),
    )[0]
    mask = kinds.load(kinds.export(trained))(mean, index, condition)
    assert 0.05 < mask.float().mean() < 0.95
    sure = logits.abs() > (0.002 if kind == "channels" else 0.05)
    assert sure.float().mean() > 0.9
    assert torch.equal(mask[sure], (logits > 0)[sure])


@KINDS
def test_every_condition_counts(kind: str) -> None:
    predictor = kinds.load(kinds.export(net(kind)))
    mean, index = inputs(2)
    base = predictor(mean, index, Condition(1024, 2, 640))
    others = [Condition(2000, 2, 640), Condition(1024, 3, 640), Condition(1024, 2, 641)]
    for other in others:
        assert not torch.equal(predictor(mean, index, other), base)


@KINDS
def test_an_untrained_layer_grows_with_its_level(kind: str) -> None:
    predictor = kinds.load(kinds.export(kinds.create(kind, 12)))
    mean, index = inputs(3)
    fills = [predictor(mean, index, Condition(0, level, 1)).sum() for level in range(1, 5)]
    assert fills == sorted(fills)
    assert fills[0] < fills[-1]


@KINDS
def test_size_classes_are_of_the_network_that_a_predictor_is_for(kind: str) -> None:
    tensors = kinds.export(net(kind, input_side=832))
    mean, index = inputs(4)
    small, large = (kinds.load(kinds.export(net(kind))), kinds.load(tensors))
    for side in (1, 453, 454, 640, 762, 763, 5000):
        expected = small(mean, index, Condition(500, 2, side))
        assert torch.equal(large(mean, index, Condition(500, 2, 2 * side)), expected)
    assert "sides" not in kinds.export(net(kind))
    for sides in (tensors["sides"][1:], tensors["sides"].int(), tensors["sides"] * 0):
        with pytest.raises(FormatError, match="sides"):
            kinds.load({**tensors, "sides": sides})


def test_size_classes_follow_the_long_side() -> None:
    assert [size_class(side) for side in (1, 453, 454, 640, 641, 9999)] == [
        0, 0, 1, 2, 3, len(LONG_SIDES),
    ]  # fmt: skip
    assert long_sides(416) == LONG_SIDES
    assert size_class(400, long_sides(260)) == 2


@KINDS
@pytest.mark.parametrize(
    "condition",
    [Condition(0, 0, 9), Condition(0, LEVELS + 1, 9), Condition(HIGHEST_QUALITY + 1, 1, 9)],
)
def test_conditions_that_were_never_trained_are_refused(kind: str, condition: Condition) -> None:
    predictor = kinds.load(kinds.export(net(kind)))
    with pytest.raises(FormatError, match="predictor has none"):
        predictor(*inputs(3), condition)


@KINDS
def test_latents_of_other_channels_are_refused(kind: str) -> None:
    predictor = kinds.load(kinds.export(net(kind, channels=5)))
    with pytest.raises(FormatError, match="of 5 channels, this one has 12"):
        predictor(*inputs(0), Condition(0, 1, 1))


@KINDS
def test_nothing_beyond_the_halo_counts(kind: str) -> None:
    predictor = kinds.load(kinds.export(net(kind)))
    assert predictor.halo == {"light": 2, "icmh-net": 3, "channels": 0}[kind]
    mean, index = inputs(4, 16, 9)
    condition = Condition(1024, 2, 640)
    whole = predictor(mean, index, condition)
    part = predictor(mean[:, 5:], index[:, 5:], condition)
    assert torch.equal(part[:, predictor.halo :], whole[:, 5 + predictor.halo :])


@KINDS
def test_damaged_tensors_are_refused(kind: str) -> None:
    good = kinds.export(net(kind))
    for name in set(good) - {"kind"}:
        with pytest.raises(FormatError):
            kinds.load({k: v for k, v in good.items() if k != name})
    for name in ("leave.quality", "leave.level", "leave.size"):
        for wrong in (good[name][:-1], good[name].int(), good[name] + MOST, good[name][:, :0]):
            with pytest.raises(FormatError):
                kinds.load({**good, name: wrong})
