from pathlib import Path

import numpy as np
import pytest
import torch

from icmhcodec.codecs import registry
from icmhcodec.entropy import coder
from icmhcodec.entropy.tables import gaussian_tables, scale_table
from icmhcodec.training import evaluate

from .conftest import tiny_network


def test_ideal_code_lengths_are_those_of_the_coder() -> None:
    tables = gaussian_tables()
    random = np.random.default_rng(1)
    indexes = random.integers(0, len(tables), 20_000)
    scales = np.array(scale_table())[indexes]
    symbols = np.rint(random.normal(0, scales)).astype(np.int32)
    symbols[:200] = random.integers(-30_000, 30_000, 200)  # escapes of up to four digits
    coded = 8 * len(coder.encode(symbols, indexes, tables))
    ideal = evaluate.code_length(torch.from_numpy(symbols), torch.from_numpy(indexes), tables)
    assert ideal == pytest.approx(coded, rel=2e-3)


def test_a_scale_has_the_first_table_at_or_above_it() -> None:
    table = scale_table()
    scales = torch.tensor([0.01, table[0], table[5], table[5] * 1.001, 255.9, 1e6])
    assert evaluate.scale_index(scales).tolist() == [0, 0, 5, 6, 63, 63]


def test_the_exported_codec_is_measured_beside_its_network(folder: Path) -> None:
    codec, net = registry.load("test-tiny"), tiny_network()
    # Without padding, of which the float network decodes more.
    pictures = [picture[:, :64, :64] for picture in evaluate.Pictures(folder)][:3]
    low, high = evaluate.exported(codec, net, pictures, (2.0, 8.0))
    floats = evaluate.curve(net, pictures, (2.0, 8.0))
    assert low.bpp < high.bpp
    for own, point in zip((low, high), floats, strict=True):
        assert own.quality == point.quality
        assert own.psnr == pytest.approx(point.psnr, abs=0.05)
        assert abs(own.integer_stage_percent) < 0.5
        assert own.moved_percent < 2


def test_scales_that_do_not_fit_cost_bits() -> None:
    random = np.random.default_rng(0)
    index = torch.from_numpy(random.integers(20, 50, 5000))
    scale = torch.tensor(scale_table())[index]
    symbols = torch.from_numpy(np.rint(random.normal(0, scale.numpy()))).int()
    right, wrong = (
        evaluate.compare_stages(gaussian_tables(), (symbols, index), (symbols, scale * factor))
        for factor in (1.0, 4.0)
    )
    assert right["float_stage_bits"] == right["integer_stage_bits"] == wrong["integer_stage_bits"]
    assert right["moved"] == 0
    assert wrong["moved"] == 5000
    assert wrong["float_stage_bits"] > 1.1 * right["float_stage_bits"]


def test_points_are_means_over_pictures(folder: Path) -> None:
    net, pictures = tiny_network(), list(evaluate.Pictures(folder))[:2]
    both = evaluate.curve(net, pictures, (3.0,))[0]
    each = [evaluate.curve(net, [picture], (3.0,))[0] for picture in pictures]
    assert both.psnr == pytest.approx(sum(point.psnr for point in each) / 2)
    assert both.bpp == pytest.approx(sum(point.bpp for point in each) / 2)
