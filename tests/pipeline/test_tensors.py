from __future__ import annotations

import numpy as np
import pytest
import torch

from icmhcodec.errors import UsageError
from icmhcodec.imageio import from_array
from icmhcodec.pipeline.codec import Codec
from icmhcodec.pipeline.tensors import as_picture, from_picture, to_input, to_pixels

from .conftest import photo


@pytest.mark.parametrize("type_", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_there_and_back(type_: type, channels: int) -> None:
    peak = np.iinfo(type_).max
    levels = np.random.default_rng(0).integers(0, peak, (30, 50, channels), type_, endpoint=True)
    levels.flags.writeable = False
    x = to_input(levels, torch.device("cpu"))
    assert (x.shape, float(x.min()) >= 0, float(x.max()) <= 1) == ((1, 3, 64, 64), True, True)
    again = to_pixels(x, 50, 30, channels, levels.itemsize * 8)
    assert again.dtype == type_
    assert np.array_equal(again, levels)


def test_what_is_out_of_range_is_clipped() -> None:
    x = torch.tensor([-1.0, 0.5, 2.0]).expand(1, 3, 1, 3)
    assert to_pixels(x, 3, 1, 1, 16).ravel().tolist() == [0, 32768, 65535]
    assert to_pixels(x, 3, 1, 1).ravel().tolist() == [0, 128, 255]


def test_outputs_of_sixteen_bits() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (4, 5, 4), dtype=np.uint16)
    picture = from_array(levels)
    assert np.array_equal(from_picture(picture, "array"), levels)
    tensor = from_picture(picture, "tensor")
    assert np.array_equal((tensor * 65535).round().permute(1, 2, 0).numpy(), levels)
    assert from_picture(picture, "pil").mode == "RGBA"
    assert as_picture(levels).depth == 16
    with pytest.raises(UsageError):
        as_picture(levels.astype(np.int32))


def test_sixteen_bits_are_decoded_finer_than_eight() -> None:
    eight = photo(70, 90)
    codec = Codec("test-tiny", precision="float32")
    data = codec.encode(eight.astype(np.uint16) * 257).data
    fine, coarse = codec.decode(data).picture, codec.decode(codec.encode(eight).data).picture
    assert (fine.depth, coarse.depth) == (16, 8)
    assert np.abs(fine.pixels / 257 - coarse.pixels).max() <= 0.51
    assert len(np.unique(fine.pixels)) > 2 * 256
    # bfloat16, which has 8 bits itself, would be faster here and there.
    by_default = Codec("test-tiny").decode(data).picture
    assert np.array_equal(by_default.pixels, fine.pixels)


def test_a_tensor_with_nan_is_refused() -> None:
    x = torch.full((3, 4, 5), 0.5)
    assert as_picture(x).pixels.max() == 128
    x[1, 2, 3] = float("nan")
    with pytest.raises(UsageError, match="NaN"):
        as_picture(x)
