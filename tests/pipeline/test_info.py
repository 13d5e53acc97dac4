import json
import subprocess
import sys
from pathlib import Path

import pytest

from icmhcodec import container, modelfile
from icmhcodec.adapters import bundles
from icmhcodec.errors import FormatError
from icmhcodec.pipeline.codec import Codec
from icmhcodec.pipeline.info import info
from tests.pipeline.conftest import photo, random_bundle


def test_info_accounts_for_every_byte(codec: Codec) -> None:
    data = codec.encode(photo(80, 90), tasks=["det:3"], quality=3.5).data
    found = info(data)
    assert json.loads(json.dumps(found)) == found
    assert (found["width"], found["height"], found["bytes"]) == (90, 80, len(data))
    assert sum(chunk["bytes"] for chunk in found["chunks"]) + 10 == len(data)
    det, human = found["layers"]
    assert (det["task"], det["level"], det["mask"]) == ("det", 3, "derived")
    assert det["predictor"]["id"] == "det-7"
    assert human["share"] == human["bytes"] / len(data)
    assert det["fill"] + human["fill"] == pytest.approx(1)
    assert data[: det["end"]] == container.split(data, ["det"])
    assert found["groups"][0]["quality"] == 3.5
    assert found["complete"]


def test_info_of_a_part_says_what_is_missing(codec: Codec) -> None:
    part = container.split(codec.encode(photo(80, 90), tasks=["det"]).data, ["det"])
    found = info(part)
    assert not found["complete"]
    assert [layer["present"] for layer in found["layers"]] == [True, False]
    with pytest.raises(FormatError):
        info(part[:-1])
    assert info(part[:-1], partial=True)["damage"]


def test_info_does_not_load_torch() -> None:
    code = "import icmhcodec.pipeline.info, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_layer_needs_is_what_split_gives(codec: Codec, models: Path) -> None:
    for seed, task in enumerate(("det", "cls")):
        path = models / "machine.safetensors"
        modelfile.write(path, random_bundle(task, seed, "machine")[0])
        bundles.add(path)
    picture = photo(80, 90, 4)  # alpha stands before the human layer
    nested = codec.encode(picture, tasks=["cls", "det", "seg"]).data
    tasks = ["det", "cls"]
    simulcast = codec.encode(picture, tasks=tasks, profile="machine", with_human=True).data
    for data, profile in ((nested, "scalable"), (simulcast, "simulcast")):
        found = info(data)
        assert found["profile"] == profile
        for layer in found["layers"]:
            assert layer["needs"] == len(container.split(data, [layer["task"]]))
    part = info(container.split(simulcast, ["cls"]))
    assert [layer["needs"] is None for layer in part["layers"]] == [True, False, True]
    rest = info(container.rest(nested, ["cls"]))
    assert all(layer["needs"] is None for layer in rest["layers"])


def test_bundles_say_whether_they_are_here_and_what_they_have(codec: Codec, models: Path) -> None:
    for model in random_bundle("seg", 5, picture=True):
        modelfile.write(models / "new.safetensors", model)
        bundles.add(models / "new.safetensors")
    data = codec.encode(photo(80, 90), tasks=["det", "seg"]).data
    det, seg, human = info(data)["layers"]
    assert det["predictor"].items() >= {"installed": True, "profile": "scalable"}.items()
    assert det["adapter"]["roles"] == ["decoder"]
    assert seg["adapter"]["roles"] == ["decoder", "task adapter"]
    assert [layer["task_adapter"] for layer in (det, seg, human)] == [False, True, False]
    assert (human["predictor"], human["adapter"]) == (None, None)
    for path in bundles.user_folder().glob("adapter-*"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")  # another fingerprint
    seg = info(data)["layers"][1]
    assert seg["predictor"]["installed"]
    assert seg["adapter"].items() >= {"id": "seg-7", "installed": False, "roles": None}.items()
    assert seg["task_adapter"] is None
    for path in bundles.user_folder().glob("*"):
        path.write_bytes(b"no model")
    assert not info(data)["layers"][0]["predictor"]["installed"]
