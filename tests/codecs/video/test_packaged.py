"""The video codec of the package: what its file says, and that clips coded with it are read."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from icmhcodec import modelfile
from icmhcodec.codecs.registry import WEIGHTS
from icmhcodec.codecs.video import contract, registry
from icmhcodec.container.video import Frame, Reader, Writer
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.video.decode import check_frames, decode_frames
from icmhcodec.pipeline.video.encode import Picture, encode_frames
from icmhcodec.pipeline.video.plan import Options, make_header, make_plan
from tests.codecs.video.tiny import frames
from tests.threads import one_thread  # noqa: F401

pytestmark = pytest.mark.packaged
RELEASED = Path(__file__).parent / "dvc-1.icm"  # 5 frames of 160x96, coded when it was released


def moving(count: int) -> list[Picture]:
    levels = (frames(count, 96, 160) * 255).byte().permute(0, 2, 3, 1).numpy()
    return [Picture(number, np.ascontiguousarray(level)) for number, level in enumerate(levels)]


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Networks:
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "none"))
    return Networks("cpu", "float32")


def test_its_file_says_what_it_is() -> None:
    model = modelfile.read(WEIGHTS / "dvc-1.safetensors")
    assert (model.id, model.kind, contract.architecture(model)) == ("dvc-1", "video", "dvc")
    assert model.metadata["fingerprint"] == contract.fingerprint(model.tensors).hex()
    for key in ("recipe", "data", "steps", "seconds", "licence"):
        assert model.metadata[key]
    assert registry.load("dvc").id == "dvc-1"


def test_p_frames_take_fewer_bytes_and_are_as_good(networks: Networks) -> None:
    clip = {"time_base": Fraction(1, 25), "rate": Fraction(25)}
    sizes, errors = [], []
    pictures = moving(4)
    for gop in (1, 4):
        options = Options(gop=gop, quality=4)
        header = make_header(networks, "mbt2018-mean-gain", options, 160, 96, **clip)
        plan = make_plan(networks, header)
        stream = io.BytesIO()
        writer = Writer(stream, header)
        for frame in encode_frames(plan, pictures):
            writer.write_frame(frame)
        writer.close()
        sizes.append(stream.tell())
        stream.seek(0)
        coded = [item for item in Reader(stream) if isinstance(item, Frame)]
        shown = [found.pixels.astype(float) for found in decode_frames(plan, coded, 0)]
        missed = [s - p.pixels for s, p in zip(shown, pictures, strict=True)]
        errors.append(np.square(missed).mean())
    assert sizes[1] < 0.8 * sizes[0]
    assert errors[1] < 1.5 * errors[0]


def test_what_was_coded_at_its_release_decodes_to_the_same_symbols(networks: Networks) -> None:
    """All layers have the checksums of their symbols."""
    counted: list[int] = []
    assert check_frames(networks, io.BytesIO(RELEASED.read_bytes()), counted.append) == []
    assert sum(counted) == 5
