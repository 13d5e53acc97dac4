from __future__ import annotations

import json

import numpy as np
from click.testing import CliRunner
from PIL import Image

from benchmarks import ceiling, tables
from icmhcodec.codecs import registry


def test_blocks_are_the_pictures():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    rows = ceiling.blocks(pixels)
    assert rows.shape == (6, 768)
    assert np.array_equal(np.round(rows[4] * 255).reshape(16, 16, 3), pixels[16:32, 16:32])


def test_kept_components_hold_what_they_span():
    random = np.random.default_rng(0)
    rows = random.random((900, 5)) @ random.random((5, 768))
    basis = ceiling.components(rows)
    assert ceiling.held(rows, basis, 5) < 1e-20
    assert ceiling.held(rows, basis, 4) > 1e-6
    assert np.isclose(ceiling.held(rows, basis, 0), np.mean((rows - rows.mean(0)) ** 2))


def test_finer_rounding_changes_less_and_losses_add_up_at_most():
    codec = registry.load("test-tiny")
    values = np.random.default_rng(0).integers(0, 255, (7, 8, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(values).resize((80, 70)))
    coarse, fine = (ceiling.losses(codec, pixels, quality) for quality in (0, 9))
    assert fine["rounding"] < coarse["rounding"]
    for parts in (coarse, fine):
        assert parts["all"] ** 0.5 <= parts["latent"] ** 0.5 + parts["rounding"] ** 0.5


def test_a_run_gives_the_table(tmp_path):
    random = np.random.default_rng(0)
    for name in ("a.png", "b.jpg"):
        smooth = Image.fromarray(random.integers(0, 255, (9, 9, 3), dtype=np.uint8))
        smooth.resize((200, 210)).save(tmp_path / name)
    folder, output = str(tmp_path), tmp_path / "ceiling.json"
    arguments = ["--kodak", folder, "--photos", folder, "--base", "test-tiny"]
    done = CliRunner().invoke(ceiling.main, [*arguments, "--output", str(output)])
    assert done.exit_code == 0, done.output
    (text, table, linear) = tables.codecs.ceiling(json.loads(output.read_text()))
    assert "over 1 Kodak pictures" in text
    assert "| `test-tiny` | 12 | - |" in table
    assert "128: " in linear
