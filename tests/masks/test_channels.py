import pytest
import torch

from icmhcodec.errors import FormatError
from icmhcodec.masks import kinds
from icmhcodec.masks.channels import ChannelPredictor
from icmhcodec.masks.predictor import Condition
from tests.masks.nets import inputs, net


def test_whole_channels_are_selected_whatever_is_in_them() -> None:
    predictor = ChannelPredictor(kinds.export(net("channels")))
    condition = Condition(700, 3, 100)
    masks = [predictor(*inputs(seed), condition) for seed in (0, 1)]
    assert torch.equal(*masks)
    channels = masks[0].flatten(1)
    assert torch.equal(channels.all(1), channels.any(1))
    assert 0 < channels.any(1).sum() < len(channels)


def test_a_file_without_scores_is_refused() -> None:
    for level in (torch.zeros(4), torch.zeros(4, 0, dtype=torch.int64)):
        with pytest.raises(FormatError, match="no scores"):
            ChannelPredictor({"leave.level": level})
