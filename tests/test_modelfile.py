import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icmhcodec import modelfile
from icmhcodec.errors import FormatError
from icmhcodec.modelfile import ModelFile

TYPES = (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
)  # fmt: skip


def model() -> ModelFile:
    tensors = {f"{i}.{kind}": torch.ones(i, 2).to(kind) for i, kind in enumerate(TYPES)}
    return ModelFile({"id": "x-1", "kind": "adapter"}, {**tensors, "one": torch.tensor(3)})


def test_a_files_fingerprint_is_that_of_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    modelfile.write(path, model())
    assert modelfile.fingerprint_of(path) == modelfile.fingerprint(model().tensors)
    metadata, names = modelfile.summary(path)
    assert metadata == model().metadata
    assert set(names) == model().tensors.keys()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.recursive(st.integers() | st.text(), st.lists).map(
    lambda value: b"".join([(len(d := json.dumps({"a": value}).encode())).to_bytes(8, "little"), d])
))  # fmt: skip
def test_no_other_file_has_one(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        modelfile.fingerprint_of(path)


@pytest.mark.parametrize("header", [b"[" * 100_000, b"[]", b'{"__metadata__": 3}'])
def test_headers_that_are_none_are_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(FormatError):
        modelfile.summary(path)


def test_summaries_need_no_torch() -> None:
    code = "import icmhcodec.modelfile, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            modelfile.write(tmp_path / "x.safetensors", model())
    assert list(tmp_path.iterdir()) == []


def test_processes_that_write_one_file_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, parts = tmp_path / "x.safetensors", []
    write_bytes = Path.write_bytes

    def overtaken(self: Path, data: bytes) -> int:
        parts.append(self)
        written = write_bytes(self, data)
        if len(parts) == 1:
            modelfile.write(path, model())
        return written

    monkeypatch.setattr(Path, "write_bytes", overtaken)
    modelfile.write(path, model())
    assert len(set(parts)) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    assert modelfile.read(path).id == "x-1"
