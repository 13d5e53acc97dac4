import zlib

import torch

from icmhcodec.masks import partition


def test_elements_below_the_skip_index_are_not_coded() -> None:
    index = torch.tensor([[[0, 1, 2]]], dtype=torch.uint8)
    assert partition.coded_elements(index, 0).all()
    assert partition.coded_elements(index, 2).tolist() == [[[False, False, True]]]


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
    assert partition.mask_crc(mask) == zlib.crc32(bytes([0b10000000, 0b10000000]))
    assert partition.mask_crc(mask, zlib.crc32(b"before")) == zlib.crc32(b"before\x80\x80")
