from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from icmhcodec.imageio import from_array, png


@pytest.mark.parametrize(("channels", "format"), [(1, "gray16le"), (3, "rgb48le"), (4, "rgba64le")])
@pytest.mark.parametrize("shape", [(20, 31), (1, 1), (3, 200)])
def test_another_reader_finds_the_samples(
    channels: int, format: str, shape: tuple[int, int]
) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (*shape, channels), dtype=np.uint16)
    with av.open(io.BytesIO(png.encode(from_array(levels)))) as file:
        found = next(file.decode(video=0)).to_ndarray(format=format)
    assert np.array_equal(found.reshape(levels.shape), levels)


def test_pillow_finds_grey_samples() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (20, 31), dtype=np.uint16)
    image = Image.open(io.BytesIO(png.encode(from_array(levels))))
    assert np.array_equal(np.asarray(image), levels)
