"""Export: one file with float16 kernels and the integer stage, checked on the way."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from icmhcodec import modelfile
from icmhcodec.codecs import test_tiny, weights
from icmhcodec.codecs.export import export_base
from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.errors import FormatError, UsageError

DESCRIPTION = {"recipe": "r", "data": "d", "steps": "0", "licence": "l"}


@pytest.fixture(scope="module")
def state():
    return test_tiny.make_state()


def test_exported_file_is_self_contained(state, tmp_path):
    path = tmp_path / "tiny.safetensors"
    export_base(state, "tiny-7", DESCRIPTION, path, default_skip=3)
    model = modelfile.read(path)
    assert model.metadata.items() >= (DESCRIPTION | {"id": "tiny-7", "kind": "base"}).items()
    codec = Hyperprior(model)
    assert (codec.id, codec.default_skip) == ("tiny-7", 3)
    assert model.metadata["fingerprint"] == codec.fingerprint.hex()
    kernels = [v for k, v in model.tensors.items() if k.startswith(("g_", "h_a")) and v.ndim == 4]
    assert {kernel.dtype for kernel in kernels} == {torch.float16}


def test_fingerprint_covers_what_decides_and_nothing_else(state, tmp_path):
    export_base(state, "a", DESCRIPTION, tmp_path / "a", default_skip=3)
    export_base(state, "b", DESCRIPTION | {"data": "other"}, tmp_path / "b")
    a, b = modelfile.read(tmp_path / "a"), modelfile.read(tmp_path / "b")
    assert weights.fingerprint(a.tensors) == weights.fingerprint(b.tensors)
    for name, value in a.tensors.items():
        changed = a.tensors | {name: value.clone()}
        changed[name].view(-1)[:1] += 1
        same = weights.fingerprint(changed) == weights.fingerprint(a.tensors)
        assert same == name.startswith("entropy_bottleneck."), name


def test_weights_that_are_not_finite_are_refused(state, tmp_path):
    broken = state | {"h_s.2.weight": state["h_s.2.weight"] * float("nan")}
    with pytest.raises(UsageError, match=r"h_s.2.weight"):
        export_base(broken, "a", DESCRIPTION, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_missing_tensors_are_named(state, tmp_path):
    with pytest.raises(FormatError, match=r"eb\.med"):
        export_base({k: v for k, v in state.items() if k != "eb.med"}, "a", {}, tmp_path / "a")


def test_command_exports_the_training_tools_file(state, tmp_path):
    trained, out = tmp_path / "base.safetensors", tmp_path / "out.safetensors"
    save_file({k: v.contiguous() for k, v in state.items()}, trained)
    command = [sys.executable, "-m", "icmhcodec.codecs.export", trained, "--id", "tiny-8"]
    options = ["--out", out, "--skip", "2", "--licence", "none", "--data", "d", "--steps", "5"]
    subprocess.run([*command, *options], check=True)
    codec = Hyperprior(modelfile.read(out))
    assert (codec.id, codec.default_skip) == ("tiny-8", 2)
    export_base(state, "again", DESCRIPTION, tmp_path / "again")
    assert codec.fingerprint == Hyperprior(modelfile.read(tmp_path / "again")).fingerprint
