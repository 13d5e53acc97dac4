import json
from pathlib import Path

import click
from click.testing import CliRunner

from icmhcodec.cli import video
from tests.cli.conftest import Run, sample
from tests.container.video.samples import clip

CLIP = clip(tasks=2)
BLOB = CLIP.build()


def test_split_and_join(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clip.icm").write_bytes(BLOB)
    done = run("split", "clip.icm", "--task", "det", "-o", "det.icm", "--rest", "rest.icm")
    assert done.exit_code == 0, done.output
    assert run("join", "rest.icm", "det.icm", "-o", "whole.icm").exit_code == 0
    assert (tmp_path / "whole.icm").read_bytes() == BLOB
    assert (tmp_path / "det.icm").stat().st_size < len(BLOB) / 2
    assert run("split", "clip.icm", "--task", "det", "-o", "det.icm").exit_code == 2  # it exists
    wrong = run("split", "clip.icm", "--task", "seg", "-o", "seg.icm")
    assert (wrong.exit_code, "no layer 'seg'" in wrong.stderr) == (2, True)
    assert not (tmp_path / "seg.icm").exists()


def test_pipes(run: Run, tmp_path: Path) -> None:
    part = run("split", "-", "--task", "det", "-o", "-", "--rest", "rest.icm", stdin=BLOB)
    assert part.exit_code == 0, part.stderr
    whole = run("join", "-", "rest.icm", "-o", "-", stdin=part.stdout_bytes)
    assert whole.stdout_bytes == BLOB
    picture = run("split", "-", "--task", "det", "-o", "det.icm", stdin=sample())
    assert picture.exit_code == 0, picture.stderr


def test_verify(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clip.icm").write_bytes(BLOB)
    (tmp_path / "bad.icm").write_bytes(BLOB[:600] + b"x" + BLOB[601:])
    assert run("verify", "clip.icm").stdout == "clip.icm: intact\n"
    run("split", "clip.icm", "--task", "det")
    assert "intact, without layer 1 task1" in run("verify", "clip.det.icm").stdout
    bad = run("verify", "bad.icm")
    assert bad.exit_code == 3
    assert "wrong CRC" in bad.stderr
    found = json.loads(run("verify", "--json", "-", stdin=BLOB).stdout)
    assert found == {"file": "-", "damage": [], "missing": []}


def test_info(tmp_path: Path) -> None:
    path = tmp_path / "clip.icm"
    path.write_bytes(BLOB)

    def info(as_json: bool) -> str:
        command = click.Command("info", callback=lambda: video.info(path, as_json=as_json))
        return CliRunner().invoke(command).stdout

    shown = info(False)
    assert "256x144, 10 frames at 30 fps\n0.33 s in 3 groups" in shown
    assert "det:1 residual" in shown
    found = json.loads(info(True))
    assert [latent["quality"] for latent in found["latents"]] == [
        latent.quality / 256 for latent in CLIP.header.latents
    ]
    assert {choice["mask"] for choice in found["layers"][-1]["choices"]} == {"full"}
    pixels = found["frames"] * found["width"] * found["height"]
    assert found["bpp"] == 8 * (found["bytes"] - found["parts"]["audio"]) / pixels
    assert (found["frames"], found["time_base"], found["complete"]) == (10, "1/30", True)
    assert sum(found["parts"].values()) + found["overhead"] == found["bytes"] == len(BLOB)
