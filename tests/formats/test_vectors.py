"""Golden files: what an earlier version wrote decodes as long as the format's version stands."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from icmhcodec import container, imageio
from icmhcodec.container.chunks import PREAMBLE_BYTES
from icmhcodec.errors import FormatError
from icmhcodec.imageio import Picture
from icmhcodec.pipeline.codec import Codec
from tests.formats import make
from tests.formats.make import LIST, MAKERS, VECTORS, layer, measured, names
from tests.pipeline.conftest import BASE
from tests.threads import one_thread  # noqa: F401

RECORDED = make.recorded()["vectors"]
PARTS = {"part-split", "part-rest", "part-simulcast"}


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    with make.installed():
        yield Codec(BASE)


def read(name: str) -> bytes:
    return (VECTORS / f"{name}.icm").read_bytes()


def test_there_is_a_vector_of_everything() -> None:
    assert names() == sorted(MAKERS)
    assert {path.stem for path in VECTORS.glob("*.icm")} == set(MAKERS)
    assert {path.name for path in VECTORS.glob("*.png")} == {
        f"{name}.{task}.png" for name, entry in RECORDED.items() for task in entry["layers"]
    }


@pytest.mark.parametrize("name", names())
def test_vectors_are_written_again_as_the_same_bytes(name: str) -> None:
    data = read(name)
    file = container.parse(data)
    assert bool(file.missing) == (name in PARTS)
    if not file.missing:
        built = container.build(file.header, file.hyper, file.layers, file.ancillary)
        assert built[PREAMBLE_BYTES:] == data[PREAMBLE_BYTES:]


@pytest.mark.parametrize("name", names())
def test_vectors_have_the_recorded_integers(codec: Codec, name: str) -> None:
    data = read(name)
    assert codec.verify(data, full=True) == []
    assert {"holds": RECORDED[name]["holds"], **measured(codec, data)} == RECORDED[name]


@pytest.mark.parametrize("name", names())
def test_vectors_decode_to_the_recorded_pictures(codec: Codec, name: str) -> None:
    data = read(name)
    tasks = RECORDED[name]["layers"]
    for task in tasks:
        decoded = codec.decode(data, **layer(task))
        assert decoded.warnings == ()
        compare(decoded.picture, imageio.read(VECTORS / f"{name}.{task}.png"))
    if not tasks:
        with pytest.raises(FormatError):
            codec.decode(data)


def compare(picture: Picture, expected: Picture) -> None:
    """Pixels to +-1 of 255, all else exactly."""
    assert (picture.pixels.dtype, picture.pixels.shape) == (
        expected.pixels.dtype,
        expected.pixels.shape,
    )
    step = np.iinfo(picture.pixels.dtype).max // 255
    assert np.abs(picture.pixels.astype(int) - expected.pixels).max() <= step
    assert (picture.alpha is None) == (expected.alpha is None)
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha, expected.alpha)
    assert picture.icc == expected.icc
    assert (picture.exif is None) == (expected.exif is None)
    assert picture.xmp == expected.xmp


def test_a_turned_picture_is_coded_upright() -> None:
    pictures = [imageio.read(VECTORS / f"orientation-{n}.human.png") for n in range(1, 9)]
    sizes = [picture.pixels.shape[:2] for picture in pictures]
    assert sizes == [(24, 40)] * 4 + [(40, 24)] * 4
    upright = make.pixels(3, 24, 40)
    views = [
        upright, upright[:, ::-1], upright[::-1, ::-1], upright[::-1],
        upright.swapaxes(0, 1), upright[::-1].swapaxes(0, 1),
        upright[::-1, ::-1].swapaxes(0, 1), upright[:, ::-1].swapaxes(0, 1),
    ]  # fmt: skip
    for number, (picture, view) in enumerate(zip(pictures, views, strict=True), 1):
        errors = [float(np.abs(picture.pixels - v.astype(float)).mean()) for v in views
                  if v.shape == view.shape]  # fmt: skip
        own = float(np.abs(picture.pixels - view.astype(float)).mean())
        assert own == min(errors), f"orientation {number}"


def test_parts_of_a_vector_are_cut_from_it() -> None:
    whole, split, rest = (read(name) for name in ("one-task", "part-split", "part-rest"))
    assert whole.startswith(split)
    assert container.join([rest, split]) == read("part-joined") == whole


def test_half_a_file_gives_its_task_picture(codec: Codec) -> None:
    data = read("one-task")
    for length in range(len(read("part-split")), len(data)):
        decoded = codec.decode(data[:length], partial=True)
        assert decoded.layer == "det"
        assert decoded.warnings
        compare(decoded.picture, imageio.read(VECTORS / "one-task.det.png"))


def test_vectors_are_not_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in VECTORS.rglob("*")}
    monkeypatch.setattr(sys, "argv", ["make"])
    with pytest.raises(SystemExit, match="--anew REASON"):
        make.main()
    assert before == {path: path.stat().st_mtime_ns for path in VECTORS.rglob("*")}
    assert LIST in before


def test_a_newer_version_makes_them_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    written: list[str] = []
    monkeypatch.setattr(sys, "argv", ["make"])
    monkeypatch.setattr(container, "VERSION", (container.VERSION[0] + 1, 0))
    monkeypatch.setattr(make, "write_bundles", lambda: None)
    monkeypatch.setattr(make, "write", lambda name, _: written.append(name) or {})
    monkeypatch.setattr(make, "LIST", tmp_path / "vectors.json")  # type: ignore[operator]
    monkeypatch.setattr(make, "recorded", lambda: {"version": [0, 1], "reasons": [],
                                                   "vectors": RECORDED})  # fmt: skip
    make.main()
    assert written == list(MAKERS)
