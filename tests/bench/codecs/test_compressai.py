from __future__ import annotations

import numpy as np
import pytest

from icmhcodec.bench import codecs
from icmhcodec.bench.codecs import compressai
from icmhcodec.bench.contract import HUMAN, Resources
from icmhcodec.errors import FormatError, UsageError
from tests.bench.codecs.conftest import psnr


@pytest.fixture(scope="module")
def codec():
    return codecs.create("compressai:test-tiny", resources=Resources(1))[0]


def test_files_decode_at_the_picture_size(codec, pixels):
    files = [codec.encode(pixels, point) for point in (0.0, 9.0)]
    pictures = [codec.decode(data, HUMAN).pixels for data in files]
    assert all(picture.shape == pixels.shape for picture in pictures)
    assert len(files[0]) < len(files[1])
    assert psnr(pictures[0], pixels) < psnr(pictures[1], pixels)


def test_the_order_of_qualities_changes_nothing(codec, pixels):
    first = codec.encode(pixels, 2.0)
    codec.encode(pixels, 8.0)
    assert codec.encode(pixels, 2.0) == first
    (other,) = codecs.create("compressai:test-tiny")
    np.testing.assert_array_equal(other.decode(first, HUMAN).pixels, codec.pixels(first))


def test_the_file_is_the_strings_and_thirty_bytes(codec, pixels):
    data = codec.encode(pixels, 4.0)
    strings = compressai._strings(data[compressai.HEADER.size :])
    assert len(data) - sum(len(s[0]) for s in strings) == 30
    assert len(strings) == 2


def test_its_picture_is_icmhs(codec):
    rows, columns = np.mgrid[0:64, 0:128]
    pixels = np.stack([rows * 3, columns, rows + columns], 2).astype(np.uint8)
    (own,) = codecs.create("icmh:test-tiny", resources=Resources(1))
    pictures = [c.decode(c.encode(pixels, 6.0), HUMAN).pixels for c in (codec, own)]
    assert psnr(*pictures) > 35


def test_a_cut_file_is_refused(codec):
    with pytest.raises(FormatError, match="cut short"):
        codec.pixels(b"\0" * 10)


def test_a_hyper_decoder_that_is_narrower_inside_fits():
    network = compressai.load("mbt2018-mean-gain-2", 4.0)
    widths = [layer.out_channels for layer in network.h_s[::2]]
    assert widths == [192, 288, 2 * 320]


def test_padding_is_centred_and_fills_up():
    assert compressai._padding(64, 128) == [0, 0, 0, 0]
    assert compressai._padding(51, 75) == [26, 27, 6, 7]


def test_weights_that_are_not_built_in_are_refused():
    with pytest.raises(UsageError, match="only weights of the package"):
        codecs.create("compressai:mbt2018-mean-q1")


def test_weights_that_do_not_fit_are_refused():
    model = compressai.read("test-tiny")
    del model.tensors["entropy_bottleneck._bias0"]
    with pytest.raises(RuntimeError, match="do not fit"):
        compressai.build(model, 4.0)
