import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icmhcodec.errors import UsageError
from icmhcodec.masks.predictor import LEVELS, long_sides, size_class
from icmhcodec.training import losses, task
from icmhcodec.training.loop import Point
from icmhcodec.training.task import Distortion, Draw


def _features(x: Tensor) -> list[Tensor]:
    return [F.avg_pool2d(x, 4), F.avg_pool2d(x, 8)]


def test_qualities_are_spread_and_levels_drawn_only_where_they_count() -> None:
    random, x = np.random.default_rng(0), torch.rand(9, 3, 64, 64)
    batch = task.draw(x, random, levels=True)
    assert batch.quality.long().sort()[0].tolist() == list(range(9))
    levels = {int(v) for _ in range(9) for v in task.draw(x, random, levels=True).level}
    assert levels == set(range(1, LEVELS + 1))
    assert task.draw(x, random, levels=False).level.tolist() == [losses.LEVEL] * 9


@pytest.mark.parametrize("side", [292, 416, 512])
def test_pictures_of_a_class_are_shrunk_as_it_says(side: int) -> None:
    for number, factor in enumerate(task.SHRINK):
        long_side = task.picture_side(number, side)
        assert long_side * factor == pytest.approx(side, rel=0.01)
        assert size_class(long_side, long_sides(side)) == number


def test_the_network_sees_shrunk_crops_of_whole_strides() -> None:
    x = torch.rand(1, 3, 256, 256)
    assert [task.seen_by_network(x, k).shape[-1] for k in range(5)] == [256, 224, 192, 160, 128]
    assert task.seen_by_network(torch.rand(1, 3, 64, 64), 4).shape[-1] == 64


def test_the_distortion_is_zero_for_the_original_and_rises() -> None:
    x = torch.rand(2, 3, 64, 64)
    level = torch.full((2,), 2)
    batch = Draw(x, torch.zeros(2), level, 1)
    distortion = Distortion(_features)
    assert distortion(x, batch).max() == 0
    near, far = distortion(x + 0.01, batch), distortion(x + 0.1, batch)
    assert (far > near).all()
    assert Distortion(_features, bfloat16=True)(x, batch).max() < 1e-3


def test_every_crop_is_measured_once_at_each_quality() -> None:
    crops = torch.randint(0, 256, (7, 64, 64, 3), dtype=torch.uint8)
    batches = [*task.evaluation_batches(crops, torch.device("cpu"), 1)]
    assert len(batches) == 7 * len(task.QUALITIES)
    assert {batch.size_class for batch in batches} == set(range(5))
    seen = torch.cat([batch.x for batch in batches if batch.quality[0] == 3.0])
    expected = crops.permute(0, 3, 1, 2) / 255
    assert sorted(seen.sum((1, 2, 3)).tolist()) == pytest.approx(
        sorted(expected.sum((1, 2, 3)).tolist())
    )


def _points(bpp: list[float], distortion: list[float]) -> list[Point]:
    pairs = zip(task.QUALITIES, bpp, distortion, strict=True)
    return [Point(q, b, -10 * math.log10(d)) for q, b, d in pairs]


BPP, DISTORTION = [0.2, 0.4, 0.8, 1.6], [0.4, 0.2, 0.1, 0.05]


def test_a_report_compares_at_equal_bits_and_at_equal_distortion() -> None:
    before = _points(BPP, DISTORTION)
    better = _points([b / 2 for b in BPP], DISTORTION)
    said = task.report(before, better, (0.3, 30.0))
    assert said.bits_at_equal_distortion == pytest.approx(-50)
    assert said.distortion_at_equal_bpp == pytest.approx(-50)
    assert said.loss_after < said.loss_before
    written = json.loads(said.as_json())
    assert written["after"][0] == [0.0, 0.1, 3.9794]
    assert written["bits_at_equal_distortion"] == -50


@pytest.mark.parametrize(
    "after", [_points([9.0, 18, 36, 72], DISTORTION), _points(BPP, [0.1, 0.2, 0.1, 0.2])]
)
def test_what_cannot_be_compared_is_not(after: list[Point]) -> None:
    said = task.report(_points(BPP, DISTORTION), after, (0.3, 30.0))
    assert said.distortion_at_equal_bpp is None
    json.loads(said.as_json())


class _Network(nn.Module):
    name = "toy"

    def preprocess(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2]

    def features(self, x: Tensor) -> list[Tensor]:
        return _features(x)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def test_targets_are_features_or_outputs() -> None:
    network, x = _Network(), torch.rand(2, 3, 16, 16)
    assert len(task.targets(network, "features")(x)) == 2  # type: ignore[arg-type]
    (logits,) = task.targets(network, "outputs")(x)  # type: ignore[arg-type]
    assert logits.shape == (2, 3)

    class Other:
        name, features = "other", _features

    with pytest.raises(UsageError, match="other gives no outputs with gradients"):
        task.targets(Other(), "outputs")  # type: ignore[arg-type]
