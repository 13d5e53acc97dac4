from __future__ import annotations

import numpy as np
import pytest

from icmhcodec import container, modelfile
from icmhcodec.adapters import bundles
from icmhcodec.errors import FormatError
from icmhcodec.imageio import sheet
from icmhcodec.pipeline import show as showing
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.show import show
from icmhcodec.pipeline.tensors import as_picture

from .conftest import photo, random_bundle


@pytest.fixture
def networks():
    return Networks("cpu", "float32")


@pytest.fixture
def said(monkeypatch):
    """All words of a page, in order."""
    words = []
    original = sheet.text

    def text(line, *arguments):
        words.append(line)
        return original(line, *arguments)

    monkeypatch.setattr(sheet, "text", text)
    return words


def margins_are_white(page, margin):
    pixels = np.asarray(page)
    edges = [pixels[:margin], pixels[-margin:], pixels[:, :margin], pixels[:, -margin:]]
    return all((edge == 255).all() for edge in edges)


@pytest.mark.parametrize(
    ("size", "options", "width"),
    [
        ((64, 96, 3), {"tasks": ["cls", "det:3", "seg"]}, 800),
        ((64, 64, 1), {"tasks": ["det"], "tile": 64}, 480),
        ((20, 300, 3), {}, 1000),
        ((1, 1, 3), {"tasks": ["det"]}, 480),
    ],
)
def test_a_page_has_all_layers_and_its_margins(codec, networks, said, size, options, width):
    data = codec.encode(photo(*size), **options).data
    page, warnings = show(networks, data, "photo.icm", width=width)
    assert page.width == pytest.approx(width, abs=3)
    assert warnings == ()
    assert margins_are_white(page, width // 40 - 1)
    assert "photo.icm" in said
    names = [*options.get("tasks", []), "human"]
    titles = [name + ":2" * (name in ("cls", "det", "seg")) for name in names]
    assert [word for word in said if word in titles] == titles
    assert f"{len(data):,} bytes" in " ".join(said)


def test_sums_stand_beside_the_files_bytes(codec, networks, said):
    data = codec.encode(photo(64, 96), tasks=["det"]).data
    show(networks, data, "x.icm", width=600)
    sizes = [sum(map(len, layer.segments)) for layer in container.parse(data).layers.values()]
    sums = [word for word in said if word.startswith("adds up to")]
    for line, size in zip(sums, sizes, strict=True):
        counted = int(line.split()[3].replace(",", ""))
        assert line.endswith(f"bytes; {size:,} in 1 segment")
        assert size - 8 <= counted <= size


def test_a_part_names_what_is_missing(codec, networks, said):
    data = codec.encode(photo(64, 64), tasks=["cls", "det"]).data
    page, _ = show(networks, container.split(data, ["cls"]), "part.icm", width=480)
    assert "not in this part: layer 1 det, layer 2 human" in said
    assert said.count("not in this part") == 2
    whole, _ = show(networks, data, "whole.icm", width=480)
    assert page.height < whole.height
    with pytest.raises(FormatError, match="join"):
        show(networks, container.rest(data, ["cls"]), "rest.icm")


def test_the_original_has_a_row(codec, networks, said):
    pixels = photo(64, 64)
    data = codec.encode(pixels).data
    original = "photo.jpg", 4321, as_picture(pixels)
    with_it, _ = show(networks, data, "x.icm", original=original, width=480)
    without, _ = show(networks, data, "x.icm", width=480)
    assert with_it.height > without.height + 100
    assert "4,321 bytes, 8.44 bpp" in said
    assert any("dB PSNR" in word for word in said)


def test_what_adapters_did_is_said(codec, networks, said):
    show(networks, codec.encode(photo(64, 64), tasks=["det"]).data, "x.icm", width=480)
    facts = [word for word in said if "of the symbols" in word]
    assert ["adapters in the decoder" in fact for fact in facts] == [True, False]


@pytest.mark.parametrize(
    ("value", "expected"), [(0.523, 0.54), (1.0, 1.0), (1.01, 1.2), (83.0, 84.0), (0.0, 1.0)]
)
def test_scales_end_with_a_round_number(value, expected):
    assert showing._round(value) == pytest.approx(expected)


def test_a_layer_says_where_its_adapters_stand(codec, networks, said, tmp_path):
    for model in random_bundle("seg", 5, picture=True):
        modelfile.write(tmp_path / "seg.safetensors", model)
        bundles.add(tmp_path / "seg.safetensors")
    data = codec.encode(photo(64, 64), tasks=["det", "seg"]).data
    show(networks, data, "x.icm", width=800)
    adapted = [word.split(", adapters ")[1] for word in said if ", adapters " in word]
    assert adapted == ["in the decoder", "in the decoder and on the decoded picture"]
