from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from icmhcodec.bench.cache import Cache
from icmhcodec.bench.contract import Dataset, Observation, Sample
from icmhcodec.bench.report import examples
from icmhcodec.bench.report.examples import Example, boxes, draw, overlay
from icmhcodec.tasks.detection import Detections
from tests.bench import synthetic


class Classifier(synthetic.Network):
    task = "cls"

    def predict(self, picture: object, size: tuple[int, int] | None = None) -> list[int]:
        return [1]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    random = np.random.default_rng(0)
    samples = []
    for name in ("a.png", "b.png", "c.png"):
        noise = random.integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(noise).resize((96, 64)).save(tmp_path / name)
        samples.append(Sample(name, tmp_path / name, {"cls": 1}))
    return Dataset("three", "plain", tuple(samples), {"cls": ("tench", "cat")})


def measured(dataset: Dataset) -> list[Observation]:
    codec, found = synthetic.Codec(), []
    for sample in dataset.samples:
        pixels = np.asarray(Image.open(sample.path))
        for point in codec.points:
            size = len(codec.encode(pixels, point))
            found.append(
                Observation(sample.name, "jpeg/plain/human", point, 96 * 64, size, 0, 0, 1, {}, {})
            )
    return found


def test_the_point_nearest_to_the_bits_asked_for(dataset: Dataset) -> None:
    seen = measured(dataset)
    for wanted in (0.3, 3.0):
        found = draw(seen, dataset, [synthetic.Codec()], None, pictures=1, bpp=wanted)
        assert [one.curve for one in found] == ["original", "jpeg/plain/human"]
        own = {o.point: 8 * o.bytes / o.pixels for o in seen if o.sample == found[0].sample}
        assert found[1].point == min(own, key=lambda p: abs(np.log(own[p] / wanted)))
        assert found[1].bpp == own[found[1].point]
        with Image.open(io.BytesIO(found[1].data)) as image:
            assert image.size == (found[1].width, found[1].height) == (96, 64)


def test_what_was_drawn_before_is_not_drawn_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(synthetic.Codec):
        calls = 0

        def encode(self, pixels: object, point: float) -> bytes:
            Counting.calls += 1
            return super().encode(pixels, point)

    seen = measured(dataset)
    with closing(Cache(tmp_path / "cache")) as cache:

        def drawn(network: Classifier | None = None, **conditions: str) -> list[Example]:
            return draw(seen, dataset, [Counting()], network, cache=cache, conditions=conditions)

        first = drawn()
        assert Counting.calls == 2
        assert drawn() == first == draw(seen, dataset, [synthetic.Codec()], None)
        assert Counting.calls == 2
        captions = [one.caption for one in drawn(Classifier())]
        assert captions == ["class cat, right"] * 4
        assert Counting.calls == 4
        drawn(versions="newer")
        assert Counting.calls == 6
        monkeypatch.setattr(examples, "SIDE", 48)
        assert {one.width for one in drawn()} == {48}
        cache._database.execute('UPDATE results SET value = \'{"data": "?"}\'')
        assert drawn() == drawn()
        assert Counting.calls == 10


def test_the_seed_picks_the_pictures(dataset: Dataset) -> None:
    def names(seed: int) -> list[str]:
        found = draw(measured(dataset), dataset, [synthetic.Codec()], None, seed=seed)
        return [one.sample for one in found[::2]]

    assert names(1) == names(1)
    assert len({tuple(names(seed)) for seed in range(8)}) > 1


def test_says_what_the_network_found(dataset: Dataset) -> None:
    found = draw(measured(dataset), dataset, [synthetic.Codec()], Classifier(), pictures=1)
    assert [one.caption for one in found] == ["class cat, right"] * 2


def test_boxes_are_drawn_where_they_are() -> None:
    image = Image.new("RGB", (100, 100))
    found = Detections(
        np.array([[20, 40, 120, 160], [0, 0, 9, 9]], np.float32),
        np.array([0.9, 0.1], np.float32),
        np.array([3, 1]),
    )
    assert boxes(image, found, 0.5) == "1 object with a score of 0.3 or more"
    pixels = np.asarray(image).sum(2)
    assert pixels[[50, 50, 79], [10, 60, 30]].all()  # left, right, bottom
    assert not pixels[50, 30]
    assert not pixels[2:4, 2:4].any()  # too uncertain


def test_boxes_are_called_what_coco_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *given, **_: said.append(given[2]))
    corners = np.tile(np.array([0, 0, 9, 9], np.float32), (3, 1))
    found = Detections(corners, np.full(3, 0.5, np.float32), np.array([1, 90, 12]))
    boxes(Image.new("RGB", (16, 16)), found, 1.0)
    assert said == ["12 0.50", "toothbrush 0.50", "person 0.50"]


def test_segments_are_laid_over_the_picture() -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[:4], labels[4, 0] = 1, 255
    image, text = overlay(Image.new("RGB", (16, 16), "white"), labels, ("background", "cat"))
    assert text == "cat"
    pixels = np.asarray(image)
    assert (pixels[8:] == 255).all()
    assert not (pixels[:8] == 255).all()
    assert (
        overlay(Image.new("RGB", (8, 8)), np.zeros((8, 8), np.uint8), ())[1] == "background alone"
    )
