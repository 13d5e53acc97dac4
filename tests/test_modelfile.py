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
