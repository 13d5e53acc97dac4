from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from icmhcodec import Codec, container, pillow_plugin
from icmhcodec.errors import FormatError, MissingWeightsError, UsageError

RNG = np.random.default_rng(0)
BASE = "test-tiny"


def picture(channels: int = 3) -> Image.Image:
    planes = RNG.integers(0, 256, (40, 50, channels), dtype=np.uint8)
    return Image.fromarray(planes.squeeze())


def saved(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "ICM", base=BASE, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_saves_and_opens_what_the_codec_encodes_and_decodes(
    tmp_path: Path, channels: int, mode: str
) -> None:
    image, path = picture(channels), tmp_path / "a.icm"
    image.save(path, base=BASE, quality=6)
    assert path.read_bytes() == Codec(BASE).encode(image, quality=6).data
    with Image.open(path) as again:
        assert (again.format, again.mode, again.size) == ("ICM", mode, (50, 40))
        assert again.get_format_mimetype() == "image/x-icm"
        again.load()
        assert (again.mode, again.size) == (mode, (50, 40))
        decoded = Codec(BASE).decode(path.read_bytes()).picture
        planes = np.asarray(again).reshape(40, 50, channels)
        assert np.array_equal(planes[:, :, : decoded.pixels.shape[2]], decoded.pixels)
        if decoded.alpha is not None:
            assert np.array_equal(planes[:, :, -1], decoded.alpha)
            assert np.array_equal(decoded.alpha, np.asarray(image.getchannel("A")))


@pytest.mark.parametrize(("channels", "mode"), [(1, "I;16"), (2, "LA"), (3, "RGB")])
def test_sixteen_bits_are_kept_where_pillow_has_a_mode(channels: int, mode: str) -> None:
    levels = RNG.integers(0, 65536, (40, 50, channels), dtype=np.uint16)
    data = Codec(BASE).encode(levels).data
    image = opened(data)
    assert image.mode == mode
    image.load()
    assert image.mode == mode
    if channels == 1:
        decoded = Codec(BASE).decode(data).picture
        assert np.array_equal(np.asarray(image), decoded.pixels[:, :, 0])


def test_operations_load_the_picture() -> None:
    data = saved(picture())
    assert opened(data).convert("L").resize((5, 4)).size == (5, 4)
    assert opened(data).crop((10, 10, 20, 20)).tobytes() == (
        opened(data).copy().crop((10, 10, 20, 20)).tobytes()
    )


def test_metadata_and_those_that_save_is_given() -> None:
    image = picture()
    tags = Image.Exif()
    tags[0x010F] = "camera"
    image.info.update(icc_profile=b"profile", xmp=b"<own/>")
    again = opened(saved(image, exif=tags, xmp=b"<given/>"))
    assert again.info["icc_profile"] == b"profile"
    assert again.info["xmp"] == b"<given/>"
    assert again.getexif()[0x010F] == "camera"
    assert again.info["layers"] == ("human",)
    assert "xmp" not in opened(saved(image, strip=True)).info


def masked(image: Image.Image, **options: Any) -> bytes:
    mask = np.zeros((40, 50), bool)
    mask[:16, :16] = True
    return saved(image, tasks=["det"], masks={"det": mask}, **options)


def test_without_the_human_layer_it_is_the_last_tasks_picture() -> None:
    data = masked(picture(4))
    assert opened(data).info["layers"] == ("det", "human")
    part = container.split(data, ["det"])
    image = opened(part)
    assert (image.info["layers"], image.mode) == (("det",), "RGB")
    expected = Codec(BASE).decode(part, task="det").picture
    assert np.array_equal(np.asarray(image), expected.pixels)
    assert image.mode == "RGB"


@pytest.mark.parametrize(
    "data", [b"", container.SIGNATURE, container.SIGNATURE + bytes(100), b"\x89ICM nothing"]
)
def test_what_is_no_icm_is_left_to_other_readers(data: bytes) -> None:
    with pytest.raises(UnidentifiedImageError):
        opened(data)


def test_damage_is_not_opened_and_other_formats_still_are() -> None:
    data = bytearray(saved(picture()))
    data[len(data) // 2] ^= 1
    with pytest.raises(UnidentifiedImageError):
        opened(bytes(data))
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    assert opened(buffer.getvalue()).format == "PNG"


def test_errors_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError):
        saved(picture(), quality=99)
    with pytest.raises(FormatError):
        opened(container.split(saved(picture()), [])).load()
    data = saved(picture())

    class Elsewhere:
        def decode(self, _: bytes) -> None:
            raise MissingWeightsError("no weights")

    monkeypatch.setattr(pillow_plugin, "_codec", Elsewhere)
    with pytest.raises(MissingWeightsError):
        opened(data).load()


def test_opening_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "a.icm").write_bytes(saved(picture()))
    script = (
        "import sys, icmhcodec.pillow_plugin; from PIL import Image; "
        "assert Image.open(sys.argv[1]).size == (50, 40); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "a.icm"], check=True)


def test_a_picture_is_saved_in_tiles() -> None:
    image = Image.fromarray(RNG.integers(0, 256, (70, 130, 3), dtype=np.uint8))
    data = saved(image, tile=64)
    assert data == Codec(BASE).encode(image, tile=64).data
    assert data != Codec(BASE).encode(image).data
