from dataclasses import replace
from pathlib import Path

import pytest
import torch

from icmhcodec.codecs import registry
from icmhcodec.errors import FormatError, UsageError
from icmhcodec.training import loop, weights

from .conftest import TINY, tiny_run


def test_a_runs_average_and_what_it_says_of_itself(tmp_path: Path) -> None:
    run = tiny_run()
    run.about = {"data": "photos", "photos": "19", "held_out": "1", "init": "a.safetensors"}
    with torch.no_grad():
        run.average.gain += 1
    run.save(tmp_path / loop.STATE)
    tensors, about = weights.read_trained(tmp_path)
    assert torch.equal(tensors["gain"], run.trained.gain + 1)
    assert about["data"] == "photos: 19 photos, 1 held out"
    assert about["init"] == "a.safetensors"
    assert "optimiser soap" in about["recipe"]
    assert "scales 1.0/0.7" in about["recipe"]
    start = weights.read(tmp_path, TINY)
    assert torch.equal(start.gain, run.average.gain)


def test_a_codecs_file_is_read(tmp_path: Path) -> None:
    net = weights.read(registry.WEIGHTS / "test-tiny.safetensors", TINY)
    assert (net.hyper_channels, net.latent_channels) == (8, 12)


def test_other_files_and_runs_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("text")
    with pytest.raises(FormatError, match="text: not a readable safetensors"):
        weights.read(text, TINY)
    with pytest.raises(FormatError, match=r"det-0.*no such tensor"):
        weights.read(registry.WEIGHTS / "det-0.adapter.safetensors", TINY)
    run = tiny_run(replace(TINY))
    run.kind = "adapter"  # type: ignore[misc]
    run.save(tmp_path / loop.STATE)
    with pytest.raises(UsageError, match="of kind adapter"):
        weights.read(tmp_path, TINY)
