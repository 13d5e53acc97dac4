from __future__ import annotations

import io
import json

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from benchmarks import detection as bench
from icmhcodec.errors import MissingWeightsError
from icmhcodec.tasks import weights, yolox
from icmhcodec.tasks.detection import Detections


class JpegCoder:
    """A stand-in with real files: the layer is the picture at half the quality."""

    def plain(self, pixels, quality):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=int(quality * 10) + 5)
        return len(file.getvalue()), np.asarray(Image.open(file))

    def sized(self, pixels, size):
        tries = [self.plain(pixels, q / 2) for q in range(19)]
        return max((t for t in tries if t[0] <= size), key=lambda t: t[0], default=tries[0])

    def layer(self, pixels, quality, level):
        return self.plain(pixels, quality * level / 4)

    def identity(self):
        return {"codec": "jpeg"}


class Counting(JpegCoder):
    calls = 0

    def plain(self, pixels, quality):
        type(self).calls += 1
        return super().plain(pixels, quality)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path):
    """Two flat pictures with a disc each, in COCO's layout."""
    pytest.importorskip("onnx")
    try:
        weights.locate(yolox.FILE, download=False)
    except MissingWeightsError as error:
        pytest.skip(f"YOLOX-Nano is not here: {error}")
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    rows, columns = np.mgrid[:96, :128]
    for number in (1, 2):
        disc = (rows - 48) ** 2 + (columns - 40 * number) ** 2 < 900
        pixels = np.where(disc[..., None], (250, 120, 20), (60, 120, 60)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    dataset = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in (1, 2)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 55, "bbox": [40 * n - 30, 18, 60, 60]}
            | {"area": 3600, "iscrowd": 0}
            for n in (1, 2)
        ],
        "categories": [{"id": 55}],
    }
    (folder / "instances_val2017.json").write_text(json.dumps(dataset))
    return folder


def run(data, output, factory=JpegCoder, **more):
    return bench.run_benchmark(factory, data, output, qualities=[2.0], levels=[2], **more)


def test_the_rows_are_measured_and_compared(data, tmp_path, capsys):
    output = tmp_path / "results" / "detection.json"
    rows = run(data, output)
    result = json.loads(output.read_text())
    assert result["rows"] == rows
    assert result["settings"] == {"pictures": 2, "network": "yolox-nano", "codec": "jpeg"}
    layer, sized = rows["layer q2 level 2"], rows["sized q2 level 2"]
    assert layer["bpp"] == 8 * sum(layer["sizes"]) / (2 * 96 * 128)
    assert 0 < sized["bpp"] <= layer["bpp"]
    assert {"plain q0", "plain q2", "plain q4", "plain q6", "shrunk q6"} <= set(rows)
    assert rows["uncompressed"]["bpp"] == 24
    (compared,) = result["comparison"]
    assert compared["share_of_plain"] == layer["bpp"] / rows["plain q2"]["bpp"]
    assert compared["AP50"]["layer"] == layer["AP50"]
    assert "at equal bits" in capsys.readouterr().out


def test_finished_rows_are_not_measured_again(data, tmp_path):
    output = tmp_path / "detection.json"
    run(data, output, limit=1)
    results = json.loads(output.read_text())
    del results["rows"]["plain q4"]
    output.write_text(json.dumps(results))
    Counting.calls = 0
    run(data, output, Counting, limit=1)
    assert Counting.calls == 1


def test_results_of_other_settings_are_not_mixed_in(data, tmp_path):
    output = tmp_path / "detection.json"
    output.write_text(json.dumps({"settings": {"pictures": 7}, "rows": {}}))
    with pytest.raises(click.ClickException, match="other settings"):
        run(data, output)


def test_a_job_of_the_shrunk_kind_gives_boxes_of_the_original(tmp_path):
    class Corners:
        def predict(self, picture):
            box = np.array([[0, 0, picture.shape[1], picture.shape[0]]], np.float32)
            return Detections(box, np.ones(1, np.float32), np.ones(1, np.int64))

    path = tmp_path / "large.png"
    Image.new("RGB", (640, 500)).save(path)
    job = bench.Job(bench.Photo(1, path), bench.Point("shrunk", 3.0), 0)
    outcome = bench.measure(JpegCoder(), Corners(), job)
    np.testing.assert_allclose(outcome.found.boxes, [[0, 0, 640, 500]])
    assert outcome.pixels == 640 * 500


def curve(**points):
    return {
        name: {"kind": "plain", "bpp": bpp, "AP": value} for name, (bpp, value) in points.items()
    }


def test_interpolation_is_linear_in_log_bits_and_null_outside():
    rows = curve(a=(0.4, 30.0), b=(0.1, 10.0))
    assert bench.interpolate(rows, "plain", "AP", 0.2) == pytest.approx(20)
    assert bench.interpolate(rows, "plain", "AP", 0.1) == 10
    assert bench.interpolate(rows, "plain", "AP", 0.5) is None
    assert bench.interpolate(rows, "shrunk", "AP", 0.2) is None


def test_the_command_line_refuses_what_is_no_number():
    result = CliRunner().invoke(bench.main, ["--qualities", "2,x", "--data", "."])
    assert result.exit_code == 2
    assert "numbers with commas" in result.output
