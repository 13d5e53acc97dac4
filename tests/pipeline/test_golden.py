"""Files that an earlier version wrote decode for as long as the format's version stands.

`python -m tests.pipeline.test_golden` writes them anew: only with a new format version.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icmhcodec import container
from icmhcodec.pipeline.codec import Codec
from tests.pipeline.conftest import BASE, photo

FOLDER = Path(__file__).parent.parent / "golden"
MASK = np.zeros((75, 100), bool)
MASK[20:50, 30:80] = True
FILES = {
    "plain": {"quality": 6.5},
    "masked": {"quality": 4, "tasks": ["det:1"], "masks": {"det": MASK}},
    "without-human": {"tasks": ["det"], "masks": {"det": MASK}, "with_human": False},
    "grey-alpha": {"quality": 9, "skip": 0},
}
CHANNELS = {"grey-alpha": 2}


@pytest.mark.parametrize("name", FILES)
def test_golden_files_decode(codec: Codec, name: str) -> None:
    data = (FOLDER / f"{name}.icm").read_bytes()
    parsed = container.parse(data)
    assert container.build(parsed.header, parsed.hyper, parsed.layers, parsed.ancillary) == data
    # The header has checksums of masks and symbols: decoding is the comparison.
    assert codec.verify(data, full=True) == []
    picture = codec.decode(data).picture
    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = np.concatenate([pixels, picture.alpha[:, :, None]], 2)
    with Image.open(FOLDER / f"{name}.png") as image:
        expected = np.asarray(image)
    assert np.abs(pixels.astype(int) - expected).max() <= 1


if __name__ == "__main__":
    for name, options in FILES.items():
        blob = Codec(BASE).encode(photo(75, 100, CHANNELS.get(name, 3)), **options).data  # type: ignore[arg-type]
        (FOLDER / f"{name}.icm").write_bytes(blob)
        shown = Codec(BASE).decode(blob).picture
        planes = [shown.pixels] if shown.alpha is None else [shown.pixels, shown.alpha[:, :, None]]
        Image.fromarray(np.concatenate(planes, 2)).save(FOLDER / f"{name}.png", optimize=True)
