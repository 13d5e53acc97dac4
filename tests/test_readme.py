"""What README.md says is run as it stands, but for training."""

import re
import shlex
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from icmhcodec.cli.main import icmh
from icmhcodec.pipeline.codec import Codec

README = (Path(__file__).parent.parent / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for kind, text in blocks if kind == language]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:80, :112]
    photo = np.stack([128 + 90 * np.sin(x / 9), 128 + 90 * np.cos(y / 7), x + y], 2)
    Image.fromarray(photo.astype(np.uint8)).save("photo.jpg")
    quick = Codec("test-tiny")
    Path("scan.icm").write_bytes(quick.encode(np.zeros((2600, 4800, 3), np.uint8)).data)
    Path("broken.icm").write_bytes(quick.encode(photo.astype(np.uint8)).data[:-50])
    Path("photos").mkdir()
    shutil.copy("photo.jpg", "photos/a.jpg")
    mask = np.zeros((80, 112), np.uint8)
    mask[20:50, 30:80] = 255
    Image.fromarray(mask).save("m.png")
    with av.open("street.mp4", "w") as street:
        stream = street.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 112, 80, "yuv420p"
        for _ in range(3):
            street.mux(stream.encode(av.VideoFrame.from_image(Image.open("photo.jpg"))))
        street.mux(stream.encode(None))
    return tmp_path


@pytest.mark.packaged
def test_the_commands_run_in_order(folder: Path) -> None:
    examples = [line for block in _blocks("") for line in block.splitlines()]
    commands = [re.split(r"\s{3,}", line)[0] for line in examples if line.startswith("icmh ")]
    assert len(commands) >= 10
    original = None
    for command in commands:
        arguments = shlex.split(command)[1:]
        if arguments[0] == "train":
            arguments = ["train", arguments[1], "--help"]
        elif arguments[0] == "bench":
            arguments = ["bench", "--help"]
        elif arguments[0] == "info":
            original = Path("photo.icm").read_bytes()
        if arguments[0] in ("encode", "decode"):
            arguments.append("--force")
        result = CliRunner().invoke(icmh, arguments)
        assert result.exit_code == 0, (command, result.output)
    assert original == Path("whole.icm").read_bytes()
    assert Path("machine.png").exists()
    assert Path("photo.png").exists()


def test_the_python_example_runs(folder: Path) -> None:
    (example,) = _blocks("python")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    image = Image.open("photo.jpg")
    names: dict[str, object] = {"image": image, "images": [image, image]}
    exec(example.replace('"cuda"', f'"{device}"'), names)
    array, tensor, files = names["array"], names["tensor"], names["files"]
    assert isinstance(array, np.ndarray)
    assert array.shape == (80, 112, 3)
    assert isinstance(tensor, torch.Tensor)
    assert tensor.shape == (3, 80, 112)
    assert isinstance(files, list)
    assert len(files) == 2
