import torch
from hypothesis import given
from hypothesis import strategies as st

from icmhcodec.masks import partition


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 5))
def test_layers_are_disjoint_and_cover_what_is_coded(seed: int, tasks: int, skip: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(0, 8, (3, 4, 5), generator=generator)
    coded = partition.coded_elements(index, skip)
    wanted = [torch.rand(index.shape, generator=generator) < 0.4 for _ in range(tasks)]
    layers = partition.disjoint_layers(wanted, coded)
    assert len(layers) == tasks + 1
    assert torch.equal(torch.stack(layers).sum(0), coded.long())
    held = torch.zeros_like(coded)
    for layer, want in zip(layers, wanted, strict=False):
        assert torch.equal(layer, want & coded & ~held)
        held |= layer


def test_elements_go_channel_by_channel_then_row_by_row() -> None:
    values = torch.arange(12).reshape(2, 2, 3)
    mask = torch.zeros(2, 2, 3, dtype=torch.bool)
    mask[1, 0, 2] = mask[0, 1, 0] = mask[0, 0, 1] = True
    assert partition.take(values, mask).tolist() == [1, 3, 8]
    back = torch.zeros_like(values)
    partition.place(partition.take(values, mask), mask, back)
    assert torch.equal(back, values * mask)


def test_a_mask_crc_is_over_packed_bits() -> None:
    mask = torch.zeros(1, 3, 3, dtype=torch.bool)
    mask[0, 0, 0] = mask[0, 2, 2] = True
    import zlib

    assert partition.mask_crc(mask) == zlib.crc32(bytes([0b10000000, 0b10000000]))
