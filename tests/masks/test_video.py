"""Predictors of P frames: in integers as trained, and what the frame before changes."""

import pytest
import torch

from icmhcodec.entropy.model import MEAN_BITS
from icmhcodec.errors import FormatError
from icmhcodec.masks import video
from icmhcodec.masks.predictor import Condition
from icmhcodec.masks.video import VideoNet

CONDITION = Condition(quality=4 * 256, level=2, long_side=256)


def random_net(channels: int, seed: int = 0) -> VideoNet:
    torch.manual_seed(seed)
    net = VideoNet(channels, width=8).requires_grad_(False)
    for parameter in net.parameters():
        parameter.copy_(torch.randn(parameter.shape) * 0.3)
    return net


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    mean = torch.randint(-3 << MEAN_BITS, 3 << MEAN_BITS, (6, 9, 7), dtype=torch.int32)
    index = torch.randint(0, 64, (6, 9, 7), dtype=torch.uint8)
    return mean, index, torch.randint(-30, 30, (6, 9, 7), dtype=torch.int32)


def test_integers_follow_the_trained_network(inputs):
    mean, index, before = inputs
    nets = {"motion": random_net(6), "residual": random_net(6, 5)}
    loaded = video.load(video.export(nets))
    for latent, net in nets.items():
        logits = net.logits(
            mean[None].float() / 2**MEAN_BITS, index[None], before[None].float(),
            torch.tensor([4.0]), torch.tensor([2]), torch.tensor([0]),
        )[0]  # fmt: skip
        mask = loaded[latent](mean, index, before, CONDITION)
        clear = logits.abs() > 0.1
        assert torch.equal(mask[clear], logits[clear] > 0)
        assert clear.float().mean() > 0.8
        assert 0 < mask.float().mean() < 1


def test_the_frame_before_counts_and_is_bounded(inputs):
    mean, index, before = inputs
    predictor = video.load(video.export({k: random_net(6) for k in video.LATENTS}))["motion"]
    mask = predictor(mean, index, before, CONDITION)
    assert not torch.equal(predictor(mean, index, torch.zeros_like(before), CONDITION), mask)
    assert torch.equal(predictor(mean, index, before.clamp(-16, 16), CONDITION), mask)
    hostile = torch.full_like(before, 2**15)
    assert torch.equal(
        predictor(mean, index, hostile, CONDITION),
        predictor(mean, index, torch.full_like(before, 16), CONDITION),
    )


def test_files_that_are_none_are_refused():
    tensors = video.export({k: random_net(6) for k in video.LATENTS})
    with pytest.raises(FormatError):
        video.load({k: v for k, v in tensors.items() if not k.startswith("residual.")})
    with pytest.raises(FormatError):
        video.load({**tensors, "motion.slope": tensors["motion.slope"][:3]})
