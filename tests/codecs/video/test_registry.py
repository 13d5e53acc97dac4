"""Video codecs by name."""

import pytest

from icmhcodec import modelfile
from icmhcodec.codecs.video import registry
from icmhcodec.container import Reference
from icmhcodec.errors import FormatError, MissingWeightsError, UsageError
from icmhcodec.modelfile import ModelFile
from tests.codecs.video.tiny import tiny_model


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))
    path = tmp_path / "codec.safetensors"
    modelfile.write(path, tiny_model("dvc"))
    return path


def test_an_added_codec_is_found_by_id_architecture_and_reference(file):
    with pytest.raises(MissingWeightsError, match="dvc"):
        registry.load("tiny-dvc-0")
    reference = registry.add(file)
    codec = registry.load("tiny-dvc-0")
    assert Reference(codec.id, codec.fingerprint) == reference
    assert registry.load("dvc").id == "tiny-dvc-0"
    assert registry.load_reference(reference).fingerprint == reference.fingerprint
    assert len(registry.remove("tiny-dvc-0")) == 1
    with pytest.raises(MissingWeightsError, match="fingerprint"):
        registry.load_reference(reference)


def test_the_newest_version_is_what_an_architecture_stands_for(file):
    model = modelfile.read(file)
    registry.add(file)
    newer = {**model.tensors, "flow_head.bias": model.tensors["flow_head.bias"] + 1}
    modelfile.write(file, ModelFile({**model.metadata, "id": "tiny-dvc-1"}, newer))
    registry.add(file)
    assert registry.load("dvc").id == "tiny-dvc-1"
    assert registry.load("tiny-dvc-0").id == "tiny-dvc-0"


def test_an_id_that_is_taken_is_refused(file):
    model = modelfile.read(file)
    registry.add(file)
    registry.add(file)  # the same again is none
    newer = {**model.tensors, "flow_head.bias": model.tensors["flow_head.bias"] + 1}
    modelfile.write(file, ModelFile(model.metadata, newer))
    with pytest.raises(UsageError, match="is here"):
        registry.add(file)


@pytest.mark.parametrize("name", ["dvc", "../x", ""])
def test_names_that_are_none_are_refused(file, name):
    model = modelfile.read(file)
    modelfile.write(file, ModelFile({**model.metadata, "id": name}, model.tensors))
    with pytest.raises(FormatError):
        registry.add(file)
