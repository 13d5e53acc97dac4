import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icmhcodec.errors import FormatError
from icmhcodec.masks import coding


def _case(seed: int, shape: tuple[int, int, int], share: float) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(0, 64, shape, generator=generator).to(torch.uint8)
    free = torch.rand(shape, generator=generator) < 0.8
    mask = (torch.rand(shape, generator=generator) < share * index / 32) & free
    return mask, free, index


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 9), st.floats(0, 1))
def test_element_masks_come_back(seed: int, channels: int, side: int, share: float) -> None:
    mask, free, index = _case(seed, (channels, side, side + 1), share)
    data = coding.encode_elements(mask, free, index)
    assert torch.equal(coding.decode(data, free, index), mask)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
def test_position_masks_come_back(seed: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(height, width, generator=generator) < 0.5
    free = torch.rand(3, height, width, generator=generator) < 0.7
    data = coding.encode_positions(mask)
    index = torch.zeros(free.shape, dtype=torch.uint8)
    assert torch.equal(coding.decode(data, free, index), mask & free)


def test_a_box_costs_a_few_bytes() -> None:
    mask = torch.zeros(128, 128, dtype=torch.bool)
    mask[20:90, 40:100] = True
    assert len(coding.encode_positions(mask)) < 60


def test_a_mask_that_follows_the_scale_index_costs_little() -> None:
    _, free, index = _case(1, (64, 32, 32), 0.5)
    mask = free & (index > 30)
    assert len(coding.encode_elements(mask, free, index)) < int(free.sum()) / 8 / 50


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_random_bytes_are_a_mask_or_refused(data: bytes) -> None:
    _, free, index = _case(2, (3, 8, 8), 0.5)
    try:
        mask = coding.decode(data, free, index)
    except FormatError:
        return
    assert not (mask & ~free).any()


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**20), st.integers(1, 255), st.booleans())
def test_mutated_masks_are_a_mask_or_refused(place: int, flip: int, positions: bool) -> None:
    mask, free, index = _case(3, (3, 9, 9), 0.5)
    good = (
        coding.encode_positions(mask[0]) if positions else coding.encode_elements(mask, free, index)
    )
    data = bytearray(good)
    data[place % len(data)] ^= flip
    try:
        found = coding.decode(bytes(data), free, index)
    except FormatError:
        return
    assert not (found & ~free).any()


def test_a_bomb_is_not_unpacked() -> None:
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = bytes([coding.POSITIONS]) + packer.compress(bytes(2**26)) + packer.flush()
    _, free, index = _case(4, (3, 8, 8), 0.5)
    with pytest.raises(FormatError, match="cover"):
        coding.decode(bomb, free, index)
