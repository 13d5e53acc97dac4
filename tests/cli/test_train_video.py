"""`icmh train video`, and what it gives among the models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from icmhcodec import modelfile
from icmhcodec.cli.main import icmh
from tests.threads import one_thread  # noqa: F401

RECIPE = """
steps = 2
batch = 1
crop = 64
scales = [1.0]
frames = 2
motion_channels = [4, 4]
residual_channels = [8, 12]
inner = 4
around = 4
flow = 0.0
bfloat16 = false
workers = 0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clips of three frames, and a recipe for seconds."""
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))
    random = np.random.default_rng(0)
    for name in ("one", "two"):
        clip = tmp_path / "clips" / name
        clip.mkdir(parents=True)
        coarse = random.integers(0, 255, (9, 10, 3), dtype=np.uint8)
        for t in range(3):
            picture = Image.fromarray(np.roll(coarse, t, 1)).resize((80, 72))
            picture.save(clip / f"{t}.png")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


def run(folder: Path, *words: str, code: int = 0) -> str:
    given = [word.replace("@", str(folder)) for word in words]
    result = CliRunner().invoke(icmh, given, prog_name="icmh")
    assert result.exit_code == code, result.output
    return result.output


def test_a_codec_is_trained_added_checked_and_removed(folder: Path) -> None:
    train = ("train", "video", "@/clips", "-o", "@/run", "--id", "own-1", "--recipe",
             "@/tiny.toml", "--base", "test-tiny", "--device", "cpu", "--threads", "1")  # fmt: skip
    said = run(folder, *train)
    assert "own-1.safetensors: written" in said
    model = modelfile.read(folder / "run" / "own-1.safetensors")
    assert model.metadata["architecture"] == "dvc"
    assert model.metadata["data"] == "clips"
    assert "1 clips, 1 held out" in model.metadata["clips"]
    assert "its schedule has ended" in run(folder, *train, code=2)
    (folder / "other.toml").write_text(RECIPE.replace("batch = 1", "batch = 2"))
    other = [word.replace("tiny.toml", "other.toml") for word in train]
    assert "leave --recipe out" in run(folder, *other, code=2)
    again = (*train[:6], "own-2", *train[7:], "--export")
    assert "own-2.safetensors: written" in run(folder, *again)
    assert "own-1" in run(folder, "models", "add", "@/run/own-1.safetensors")
    assert "own-1 video: sound" in run(folder, "models", "verify", "own-1")
    assert "own-1" in run(folder, "models", "list")
    run(folder, "models", "remove", "own-1")
    assert "own-1" not in run(folder, "models", "list")


def test_a_codec_goes_on_from_another_one(folder: Path) -> None:
    train = ("train", "video", "@/clips", "--base", "test-tiny", "--device", "cpu", "--threads",
             "1", "--recipe", "@/tiny.toml")  # fmt: skip
    first = (*train, "-o", "@/run", "--id", "own-1", "--cache", "@/cache")  # which makes @/run
    assert "own-1.safetensors: written" in run(folder, *first)
    whole = "@/run/own-1.safetensors"
    still = "steps = 1\nkernel_rate = 0.0\ntable_rate = 0.0\nprior_rate = 0.0\n"
    lines = (folder / "tiny.toml").read_text().splitlines()
    kept = [line for line in lines if line.partition(" ")[0] not in still]
    (folder / "tiny.toml").write_text(still + "\n".join(kept))
    again = (*train, "-o", "@/next", "--id", "own-2", "--init", whole)
    said = run(folder, *again)
    assert "tensors are its start" in said
    old, new = (
        modelfile.read(folder / name / f"{name_id}.safetensors")
        for name, name_id in (("run", "own-1"), ("next", "own-2"))
    )
    for name, tensor in old.tensors.items():
        if not name.startswith(("motion.eb", "residual.eb")) and tensor.is_floating_point():
            assert torch.allclose(new.tensors[name].float(), tensor.float(), atol=2e-3), name
    assert new.metadata["init"] == "own-1.safetensors"
    assert "leave --init out" in run(folder, *train, "-o", "@/next", "--id", "own-2", "--init",
                                     "other-1", code=2)  # fmt: skip
    assert "take --start" in run(folder, *again, "--task", "det", code=2)


def test_what_cannot_be_is_refused(folder: Path) -> None:
    words = ("train", "video", "@/clips", "-o", "@/run", "--id", "own-1", "--device", "cpu")
    assert "no state" in run(folder, *words, "--export", code=2)
    assert "not known" in run(folder, *words, "--base", "no-such-codec", code=4)
    run(folder, *words, "--task", "det", "--codec", "no-such-codec", code=4)
    assert "takes --init" in run(folder, *words, "--start", "det-video-1", code=2)
