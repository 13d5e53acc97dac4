from __future__ import annotations

import numpy as np
import pytest
import torch

from icmhcodec import container
from icmhcodec.errors import UsageError
from icmhcodec.pipeline.inside import log_spectrum, look
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.tensors import as_picture

from .conftest import photo

STATE = 8  # bytes that a stream is longer than its symbols' bits, at most


@pytest.fixture
def networks():
    return Networks("cpu", "float32")


@pytest.mark.parametrize(
    "options",
    [
        {"tasks": ["cls", "det:3"], "quality": 7.0},
        {"tasks": ["det"], "tile": 64},
        {"tasks": ["det"], "portable": True, "skip": 20},
        {"quality": 9.0},
    ],
)
def test_bits_add_up_to_the_segments(codec, networks, options):
    data = codec.encode(photo(150, 200), **options).data
    inside = look(networks, data, 64)
    header = container.parse(data).header
    assert [layer.task for layer in inside.layers.values()] == [e.task for e in header.layers]
    for layer in inside.layers.values():
        assert layer.bits.shape == layer.spectrum.shape == (10, 13)
        spare = sum(layer.segment_bytes) - layer.bits.sum() / 8
        assert 0 <= spare <= STATE * len(layer.segment_bytes)
        assert max(layer.picture.size) == 64
    assert inside.grid == (200 / 16, 150 / 16)


def test_a_mask_bounds_a_layers_bits(codec, networks):
    mask = np.zeros((128, 128), bool)
    mask[:64, 64:] = True
    data = codec.encode(photo(128, 128), tasks=["roi"], masks={"roi": mask}, skip=0).data
    roi, human = look(networks, data, 128).layers.values()
    inside = np.zeros((8, 8), bool)
    inside[:4, 4:] = True
    assert np.array_equal(roi.bits > 0, inside)
    assert np.array_equal(human.bits > 0, ~inside)


def test_a_part_has_the_layers_that_are_whole(codec, networks):
    data = codec.encode(photo(64, 64), tasks=["cls", "det"]).data
    assert list(look(networks, container.split(data, ["cls"]), 64).layers) == [0]
    assert look(networks, container.rest(data, ["cls"]), 64).layers == {}
    # the hyper-latent and the last layer, without the first
    first = next(chunk for chunk in container.inspect(data) if chunk.layer == 0)
    torn = data[: first.offset] + data[first.offset + first.size :]
    assert look(networks, torn, 64).layers == {}


def test_the_original_stands_beside(codec, networks):
    pixels = photo(100, 140)
    data = codec.encode(pixels, quality=9).data
    inside = look(networks, data, 70, as_picture(pixels))
    assert inside.original is not None
    assert inside.original.picture.size == (70, 50)
    assert inside.original.spectrum.shape == inside.layers[0].spectrum.shape
    decoded = codec.decode(data).picture.pixels.astype(float)
    expected = 10 * np.log10(255**2 / np.square(decoded - pixels).mean())
    assert inside.layers[0].psnr == pytest.approx(expected)
    with pytest.raises(UsageError, match="140x100"):
        look(networks, data, 64, as_picture(photo(100, 139)))


def test_depth_grey_and_alpha(codec, networks):
    pixels = photo(64, 48, 1).astype(np.uint16) * 257
    opaque = np.full_like(pixels, 65535)
    opaque[:32] = 0
    data = codec.encode(np.concatenate([pixels, opaque], 2)).data
    (layer,) = look(networks, data, 64).layers.values()
    assert layer.picture.mode == "RGB"
    assert layer.picture.getpixel((5, 5)) == (255, 255, 255)


def test_the_spectrum_has_frequency_0_in_the_middle():
    columns = torch.arange(8).expand(6, 8)
    flat, wave = torch.full((2, 6, 8), 3.0), torch.cos(torch.pi * columns)[None]
    for y, peak in ((flat, (3, 4)), (wave, (3, 0))):
        spectrum = log_spectrum(y)
        assert np.unravel_index(spectrum.argmax(), spectrum.shape) == peak
    # orthonormal: the power of an element is that of the latent, 9 in each of 48
    assert log_spectrum(flat)[3, 4] == pytest.approx(10 * np.log10(9 * 48))
    noise = torch.randn(200, 12, 9, generator=torch.Generator().manual_seed(0))
    assert abs(log_spectrum(noise)).max() < 1.5
