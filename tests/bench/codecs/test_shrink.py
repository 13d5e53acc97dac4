from __future__ import annotations

import numpy as np

from icmhcodec.bench import codecs
from icmhcodec.bench.codecs.shrink import shrink


def test_the_network_gets_the_small_picture(pixels):
    (codec,) = codecs.create("jpeg@40", tasks=["det"])
    assert (codec.name, codec.profile, codec.views) == ("jpeg@40", "plain", ("det",))
    data = codec.encode(pixels, 90.0)
    decoded = codec.decode(codec.cut(data, "det"), "det")
    assert decoded.shrunk
    assert decoded.pixels.shape == (27, 40, 3)
    assert data == codecs.create("jpeg")[0].encode(shrink(pixels, 40), 90.0)


def test_the_side_of_the_network(pixels):
    (codec,) = codecs.create("jpeg@net", tasks=["det"], side=32)
    assert codec.name == "jpeg@32"
    assert codec.decode(codec.encode(pixels, 50.0), "det").pixels.shape == (22, 32, 3)


def test_small_pictures_stay_as_they_are(pixels):
    np.testing.assert_array_equal(shrink(pixels, 75), pixels)
    assert shrink(pixels[:1], 10).shape == (1, 10, 3)


def test_shrinking_averages():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(shrink(stripes, 16).astype(int) - 100)[:, 2:-2].max() < 10


def test_the_identity_says_how_pictures_are_shrunk():
    (plain,) = codecs.create("jpeg")
    (small,) = codecs.create("jpeg@40", tasks=["det"])
    assert small.identity().items() > plain.identity().items()
    assert "40" in small.identity()["shrunk"]


def test_of_icmh_the_plain_codec_is_shrunk():
    found = codecs.create("icmh@64", tasks=["det"])
    assert [(c.name, c.profile) for c in found] == [("icmh@64", "plain")]
