from __future__ import annotations

import json
from pathlib import Path

import pytest

from icmhcodec import modelfile
from icmhcodec.adapters.kinds import export_stages, stage_adapters
from icmhcodec.codecs import registry

from .conftest import Run, lines


@pytest.fixture
def bundle(run: Run, tmp_path: Path) -> Path:
    """An untrained adapter of test-tiny in a file."""
    codec = registry.load("test-tiny")
    stages = stage_adapters(codec.decoder_channels)
    metadata = {
        "id": "toy-0",
        "kind": "adapter",
        "task": "toy",
        "base": codec.id,
        "base_fingerprint": codec.fingerprint.hex(),
        "licence": "none",
    }
    path = tmp_path / "toy.safetensors"
    tensors = export_stages({"decoder": [*stages]})
    modelfile.write(path, modelfile.ModelFile(metadata, tensors))
    return path


def listed(run: Run) -> list[str]:
    rows = [json.loads(line) for line in run("models", "list", "--json").stdout.splitlines()]
    return [row["id"] for row in rows if row["from"] == "user"]


def test_added_listed_shown_verified_removed(run: Run, bundle: Path) -> None:
    assert listed(run) == []
    assert run("models", "add", bundle).exit_code == 0
    assert listed(run) == ["toy-0"]
    assert "toy-0" in run("models", "list").stdout
    for name in ("toy-0", "toy"):
        assert json.loads(run("models", "show", name, "--json").stdout)["licence"] == "none"
    assert run("models", "verify", "toy-0").stdout == "toy-0 adapter: sound\n"
    assert run("models", "remove", "toy-0").exit_code == 0
    assert listed(run) == []


def test_base_codecs_are_listed_shown_and_verified(run: Run) -> None:
    listing = run("models", "list").stdout
    assert "test-tiny" in listing
    assert "mbt2018-mean-q3" in listing.splitlines()[-1]
    shown = json.loads(run("models", "show", "test-tiny", "--json").stdout)
    assert shown["kind"] == "base"
    assert shown["architecture"] == "mean-scale"
    assert run("models", "verify", "test-tiny").stdout == "test-tiny base: sound\n"


def test_a_changed_file_does_not_verify(run: Run, bundle: Path) -> None:
    run("models", "add", bundle)
    (stored,) = Path("data/models").iterdir()
    model = modelfile.read(stored)
    model.tensors["window"] += 1
    modelfile.write(stored, model)
    result = run("models", "verify", "toy-0")
    assert result.exit_code == 3
    assert len(lines(result)) == 1


def test_other_weights_of_the_base_do_not_fit(run: Run, bundle: Path) -> None:
    model = modelfile.read(bundle)
    model.metadata["base_fingerprint"] = "00" * 8
    modelfile.write(bundle, model)
    run("models", "add", bundle)
    assert run("models", "verify", "toy").exit_code == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("show", "none"), 4),
        (("verify", "none"), 4),
        (("remove", "none"), 2),
        (("add", "none.safetensors"), 2),
        (("add", "text.safetensors"), 3),
        (("add", "."), 2),
    ],
)
def test_errors(run: Run, arguments: tuple[str, ...], code: int) -> None:
    Path("text.safetensors").write_text("text")
    result = run("models", *arguments)
    assert result.exit_code == code
    assert len(lines(result)) == 1


def test_a_checkpoint_under_another_name_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "anchor.pth.tar"
    path.write_bytes(b"0")
    result = run("models", "add", path)
    assert result.exit_code == 3
    assert "the one it is published under" in lines(result)[0]


@pytest.mark.packaged
def test_what_is_taken_by_default_has_its_name_here(run: Run) -> None:
    assert "mbt2018-mean-gain is mbt2018-mean-gain-1" in run("models", "list").stdout
    shown = run("models", "show", "mbt2018-mean-gain").stdout.splitlines()
    assert sorted(shown) == sorted(run("models", "show", "mbt2018-mean-gain-1").stdout.splitlines())
    assert run("models", "show", "dvc").stdout.split()[:4] == ["key", "value", "id", "dvc-1"]
