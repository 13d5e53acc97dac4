"""The adapter of frames: its size, what it sees, its file."""

import pytest
import torch

from icmhcodec.adapters.video import VideoAdapter, export_video_adapter, load_video_adapter
from icmhcodec.errors import FormatError


def random_adapter() -> VideoAdapter:
    torch.manual_seed(0)
    adapter = VideoAdapter(4, 6, 5).requires_grad_(False)
    for parameter in adapter.parameters():
        parameter.copy_((torch.randn(parameter.shape) * 0.1).half())
    return adapter


def test_it_has_the_papers_number_of_parameters():
    count = sum(p.numel() for p in VideoAdapter().parameters())
    assert 0.195e6 < count < 0.205e6


def test_an_untrained_one_changes_nothing():
    x = torch.rand(2, 3, 21, 34)
    assert torch.equal(VideoAdapter(4, 6, 5).adapted(x, [x / 2]), x)


@torch.no_grad()
def test_three_frames_before_count_and_no_fourth():
    adapter, frames = random_adapter(), list(torch.rand(5, 1, 3, 20, 28))
    current = frames.pop()
    three = adapter.adapted(current, frames[1:])
    assert three.shape == current.shape
    assert torch.equal(adapter.adapted(current, frames), three)
    for k in (1, 2, 3):
        other = [f * (0.5 if n == k else 1) for n, f in enumerate(frames)]
        assert not torch.allclose(adapter.adapted(current, other), three)
    same = [current] * 3
    assert torch.equal(adapter(current), adapter.adapted(current, same))


@torch.no_grad()
def test_its_file_gives_it_back():
    adapter, x = random_adapter(), torch.rand(1, 3, 16, 16)
    tensors = export_video_adapter(adapter)
    assert torch.equal(load_video_adapter(tensors)(x), adapter(x))
    with pytest.raises(FormatError):
        load_video_adapter({k: v for k, v in tensors.items() if "merge" not in k})
    with pytest.raises(FormatError, match="finite"):
        load_video_adapter({**tensors, "video.up2.bias": torch.full((3,), torch.nan)})
