from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.networks import yolov3_tiny
from icmhcodec.tasks import description
from icmhcodec.tasks.contract import load_network

COUNT = 8_858_734  # weights of the published network
FOLDER = Path(yolov3_tiny.__file__).parent


def weights(count=COUNT):
    """A file of weights that are zero, so that nothing but the decoding shows."""
    return bytes(yolov3_tiny.HEADER + 4 * count)


def packed(path, content):
    with tarfile.open(path, "w:gz") as archive:
        file = tarfile.TarInfo(f"package-1/models/{yolov3_tiny.WEIGHTS}")
        file.size = len(content)
        archive.addfile(file, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def network():
    pytest.importorskip("onnx")
    return yolov3_tiny.convert(weights())


def test_boxes_of_both_strides_are_decoded(network):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(network, providers=["CPUExecutionProvider"])
    ((found,),) = session.run(None, {"images": np.ones((1, 3, 416, 416), np.float32)})
    assert found.shape == (3 * (13 * 13 + 26 * 26), 85)
    np.testing.assert_allclose(found[0, :4], [16, 16, 81, 82])
    np.testing.assert_allclose(found[13 * 13 + 13 + 2, :4], [80, 48, 135, 169])
    np.testing.assert_allclose(found[-1, :4], [408, 408, 81, 82])
    assert (found[:, 4:] == 0.5).all()


@pytest.mark.parametrize(
    ("change", "message"), [(-1, "ends too early"), (1, "more weights than the network")]
)
def test_another_number_of_weights_is_refused(change, message):
    pytest.importorskip("onnx")
    with pytest.raises(click.ClickException, match=message):
        yolov3_tiny.convert(weights(COUNT + change))


def test_the_command_takes_the_published_weights_of_a_package(network, tmp_path, monkeypatch):
    package = packed(tmp_path / "package.tar.gz", weights())
    arguments = [str(package), str(tmp_path / "nets")]
    refused = CliRunner().invoke(yolov3_tiny.main, arguments)
    assert refused.exit_code == 1
    assert "the published yolov3-tiny.weights is not in it" in refused.output
    monkeypatch.setattr(yolov3_tiny, "SHA256", hashlib.sha256(weights()).hexdigest())
    result = CliRunner().invoke(yolov3_tiny.main, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "nets" / "yolov3-tiny.onnx").read_bytes() == network


def test_what_is_no_archive_is_one_line(tmp_path):
    (tmp_path / "package").write_bytes(b"no archive")
    with pytest.raises(click.ClickException, match="cannot be read"):
        yolov3_tiny.weights_of(tmp_path / "package")


def test_the_description_fits_the_file(network, tmp_path):
    pytest.importorskip("onnxruntime")
    path = FOLDER / "yolov3-tiny.toml"
    said = description.read(path)
    assert said.sha256 in (FOLDER / "README.md").read_text()
    digest = hashlib.sha256(network).hexdigest()
    (tmp_path / said.file.name).write_bytes(network)
    text = path.read_text().replace(said.sha256, digest).replace("overlap = 0.45", "overlap = 0")
    (tmp_path / path.name).write_text(text)  # all overlap, and suppression would take long
    found = load_network(str(tmp_path / path.name)).predict(np.zeros((100, 200, 3), np.uint8))
    assert len(found.scores) == said.output.most
    assert (found.scores == 0.25).all()
