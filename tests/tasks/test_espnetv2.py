from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.tasks import espnetv2


@pytest.fixture(scope="module")
def untrained():
    return espnetv2.EspNetV2().eval()


def test_features_are_the_decoders_levels(untrained):
    x = torch.rand(1, 3, 64, 96, requires_grad=True)
    features = untrained.features(x)
    assert [tuple(f.shape[1:]) for f in features] == [(64, 4, 6), (48, 8, 12), (32, 16, 24)]
    sum(f.square().mean() for f in features).backward()
    assert (x.grad.abs().amax((0, 2, 3)) > 0).all()
    with pytest.raises(UsageError, match="multiples of 32: 100x64"):
        untrained.features(torch.rand(1, 3, 64, 100))


def test_labels_have_the_size_asked_for(untrained, photo):
    picture = photo(60, 80)
    labels = untrained.predict(picture)
    assert labels.shape == (60, 80)
    assert labels.max() < 21
    assert untrained.predict(picture, (100, 90)).shape == (90, 100)


def test_the_input_is_about_384_on_its_short_side():
    assert espnetv2.INPUT.place(480, 640).canvas == (384, 512)
    assert espnetv2.INPUT.place(640, 427).canvas == (576, 384)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"espnetv2_s_2\.0_pascal_384x384\.pth is not in"):
        espnetv2.load_espnetv2(tmp_path)


def test_it_knows_what_is_on_photos(segmenter, data):
    folder = data / "coco206_val2017"
    observations = []
    for mask in sorted((folder / "voc_masks").glob("*.png"))[:4]:
        with Image.open(folder / "images" / f"{mask.stem}.jpg") as image:
            picture = np.asarray(image.convert("RGB"))
        found = segmenter.predict(picture)
        observations.append(segmenter.observe(found, found, str(mask)))
    scores = segmenter.metric(observations)
    assert scores["pixel_accuracy"] > 75
    assert scores["mIoU"] > 30
    assert scores["agreement"] == 100
