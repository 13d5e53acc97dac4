from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from icmhcodec.bench import measure
from icmhcodec.bench.contract import Decoded, Pixels, Sample
from icmhcodec.errors import IcmhError

from . import fakes

PNG = b"\x89PNG"


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return fakes.samples(tmp_path, 1)[0]


def test_a_view_has_its_own_bytes_and_picture(sample: Sample) -> None:
    codec = fakes.Palette()
    reference = measure.refer(sample, None)
    det, human = measure.measure(reference, codec, 3.0)
    data = codec.encode(reference.pixels, 3.0)
    assert (det.curve, human.curve) == ("palette/scalable/det", "palette/scalable/human")
    assert human.bytes == len(data)
    assert det.bytes == data.index(b"|" + PNG) < human.bytes
    assert (human.sample, human.point, human.pixels) == ("0.png", 3.0, 1200)
    assert codec.calls == ["encode", "decode", "decode", "encode"]
    assert human.task is None


def test_mse_is_over_all_samples_of_pictures_of_one_size(sample: Sample) -> None:
    reference = measure.refer(sample, None)
    det, human = measure.measure(reference, fakes.Palette(), 3.0)
    lost = (reference.pixels % 32).astype(float)
    assert human.human["mse"] == pytest.approx(np.mean(lost**2))
    assert det.human == {}


def test_the_network_sees_the_original_once_and_each_view(sample: Sample) -> None:
    network = fakes.Brightness()
    reference = measure.refer(sample, network)
    original = measure.measure_original(reference)
    assert original.task == {"off": 0.0, "truth": [{"category_id": 0}], "size": None}
    det, human = measure.measure(reference, fakes.Palette(), 3.0)
    assert network.seen == [(30, 40, 3), (15, 20, 3), (30, 40, 3)]
    assert human.task is not None
    assert human.task["off"] == pytest.approx((reference.pixels % 32).mean())
    assert det.task is not None
    assert det.task["size"] == (40, 30)


def test_the_original_is_raw(sample: Sample) -> None:
    original = measure.measure_original(measure.refer(sample, None))
    assert (original.curve, original.point) == ("original", 0.0)
    assert original.bytes == 3 * original.pixels == 3600
    assert original.human == {"mse": 0.0}
    assert original.encode_s == original.decode_s == 0


def test_a_picture_of_another_size_is_an_error(sample: Sample) -> None:
    codec = fakes.Palette(shrinks=False)
    with pytest.raises(IcmhError, match="decoded to"):
        measure.measure(measure.refer(sample, None), codec, 3.0)


def test_ms_ssim_needs_161_pixels(tmp_path: Path) -> None:
    msssim = pytest.importorskip("pytorch_msssim")
    noise = np.random.default_rng(0).integers(0, 256, (161, 170, 3), np.uint8)
    for rows, expected in ((160, None), (161, 1.0)):
        path = tmp_path / "noise.png"
        Image.fromarray(noise[:rows]).save(path)
        reference = measure.refer(Sample("noise", path), None)
        assert measure.measure_original(reference).human.get("ms_ssim") == expected
    [human] = measure.measure(reference, fakes.Palette(views=("human",)), 2.0)
    pair = [
        torch.from_numpy(picture.transpose(2, 0, 1)[None]).double()
        for picture in (noise, noise >> 6 << 6)
    ]
    expected = float(msssim.ms_ssim(*pair, data_range=255))
    assert 0.1 < expected < 1
    assert human.human["ms_ssim"] == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("LA", (100, 51), (224, 224, 224)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (0, 255, 50, 255), (0, 255, 50)),
        ("RGBA", (9, 8, 7, 0), (255, 255, 255)),
    ],
)
def test_pictures_become_rgb_on_white(
    tmp_path: Path, mode: str, pixel: tuple[int, ...] | int, expected: tuple[int, ...]
) -> None:
    path = tmp_path / "picture.png"
    Image.new(mode, (3, 2), pixel).save(path)
    pixels = measure.read(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (2, 3, 3)
    assert (pixels == expected).all()


def test_pictures_stand_upright(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    assert measure.read(path).shape == (30, 20, 3)


def test_the_peak_of_memory_is_that_of_the_action(sample: Sample) -> None:
    class Hungry(fakes.Palette):
        def decode(self, data: bytes, view: str) -> Decoded:
            assert np.ones(60_000_000, np.uint8).all()
            return super().decode(data, view)

    reference = measure.refer(sample, None)
    [before] = measure.measure(reference, fakes.Palette(views=("human",)), 3.0)
    [during] = measure.measure(reference, Hungry(views=("human",)), 3.0)
    assert during.peak_mb > before.peak_mb + 40


def test_versions_of_the_metrics_are_named() -> None:
    versions = measure.versions(None)
    assert versions["pytorch-msssim"]
    assert versions["torch"]
    assert "onnxruntime" not in versions
    assert {"onnxruntime", "pycocotools"} <= set(measure.versions(fakes.Brightness()))


def test_lpips_is_measured_where_it_is_here(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_lpips", lambda: lambda one, other: (one - other).abs().mean())
    reference = measure.refer(sample, None)
    [human] = measure.measure(reference, fakes.Palette(views=("human",)), 3.0)
    lost: Pixels = reference.pixels % 32
    assert human.human["lpips"] == pytest.approx(lost.mean() / 127.5, abs=1e-5)
