from pathlib import Path

import pytest
import torch

from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.container import Reference
from icmhcodec.errors import FormatError, MissingWeightsError, UsageError
from icmhcodec.modelfile import ModelFile

BASE = Reference("toy-1", bytes(range(8)))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))


def _bundle(name: str, value: float = 1.0, kind: str = "adapter", **more: str) -> ModelFile:
    metadata = {
        "id": name,
        "kind": kind,
        "task": name.split("-")[0],
        "base": BASE.id,
        "base_fingerprint": BASE.fingerprint.hex(),
        **more,
    }
    return ModelFile(metadata, {"x": torch.tensor([value])})


def _add(tmp_path: Path, model: ModelFile) -> Reference:
    path = tmp_path / "file.safetensors"
    modelfile.write(path, model)
    return bundles.add(path)


def test_a_bundle_is_added_found_and_removed(tmp_path: Path) -> None:
    reference = _add(tmp_path, _bundle("pose-2"))
    found = bundles.find("adapter", "pose", BASE, "scalable")
    assert found is not None
    assert found[1] == reference
    assert bundles.by_reference("adapter", reference).tensors["x"].item() == 1
    assert len(bundles.remove("pose-2")) == 1
    assert bundles.find("adapter", "pose", BASE, "scalable") is None


def test_the_newest_version_is_taken_and_others_by_name(tmp_path: Path) -> None:
    for version in (9, 10, 2):
        _add(tmp_path, _bundle(f"pose-{version}", version))
    for name, version in (("pose", 10), ("pose-9", 9), ("pose-2", 2)):
        found = bundles.find("adapter", name, BASE, "scalable")
        assert found is not None
        assert found[0].id == f"pose-{version}"


def test_another_base_profile_or_kind_does_not_fit(tmp_path: Path) -> None:
    _add(tmp_path, _bundle("pose-1"))
    other = Reference(BASE.id, bytes(8))
    assert bundles.find("adapter", "pose", other, "scalable") is None
    assert bundles.find("adapter", "pose", BASE, "machine") is None
    assert bundles.find("predictor", "pose", BASE, "scalable") is None


def test_the_fingerprint_decides_and_not_the_name(tmp_path: Path) -> None:
    reference = _add(tmp_path, _bundle("pose-1", 1.0))
    changed = _add(tmp_path, _bundle("pose-1", 2.0))
    assert reference != changed
    bundles.remove(reference.fingerprint.hex())
    with pytest.raises(MissingWeightsError, match=f"here: {changed.fingerprint.hex()}"):
        bundles.by_reference("adapter", reference)


def test_packaged_bundles_cannot_be_removed() -> None:
    with pytest.raises(UsageError, match="cannot be removed"):
        bundles.remove("det-0")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(FormatError, match="safetensors"):
        bundles.add(path)
    with pytest.raises(MissingWeightsError, match="no such"):
        bundles.add(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="holds a base"):
        _add(tmp_path, _bundle("pose-1", kind="base"))
    incomplete = _bundle("pose-1")
    del incomplete.metadata["task"]
    with pytest.raises(FormatError, match="'task'"):
        _add(tmp_path, incomplete)
