import json
import subprocess
import sys

import pytest

from icmhcodec import container
from icmhcodec.errors import FormatError
from icmhcodec.pipeline.codec import Codec
from icmhcodec.pipeline.info import info
from tests.pipeline.conftest import photo


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
