from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from icmhcodec import Codec, UsageError, container
from icmhcodec.codecs import registry
from icmhcodec.pipeline import blocks, latent, refine
from icmhcodec.pipeline.area import area_of
from tests.benchmarks.conftest import picture


@pytest.fixture(scope="module")
def codec():
    return registry.load("test-tiny")


def quantised(codec, pixels, quality=6.0):
    height, width = pixels.shape[:2]
    y = blocks.analysis(codec, pixels)
    return y, latent.quantise(codec, y, area_of(width, height, (1, 1)), round(quality * 256), 0)


def cost(codec, pixels, of):
    """Bits of a latent's symbols by their tables, and what the error of its picture is worth."""
    height, width = pixels.shape[:2]
    area = area_of(width, height, (1, 1))
    everything = (0, area.region[0][1]), (0, area.region[1][1])
    values = latent.values_of(codec, of.prior, of.symbols, area, of.quality, everything)
    decoded = codec.synthesis(values)[0, :, :height, :width].permute(1, 2, 0)
    error = (decoded - torch.from_numpy(pixels) / 255).square().mean() * height * width
    bits = refine.prices(codec.entropy.y_tables, of.symbols, of.prior.index)
    return float(bits.sum() + codec.tradeoff(of.quality) * 255**2 * error)


def test_rounding_weighs_bits_against_errors(codec):
    tables = codec.entropy.y_tables
    wanted = torch.linspace(-3, 3, 241)
    for index in (0, 10, 40):
        indexes = torch.full(wanted.shape, index)
        chosen = refine.round_cheaply(wanted, indexes, tables, 30.0)
        candidates = torch.arange(-4.0, 5)[:, None].expand(-1, len(wanted))
        costs = 30 * (wanted - candidates) ** 2 + refine.prices(
            tables, candidates, indexes.expand(9, -1)
        )
        best = 30 * (wanted - chosen) ** 2 + refine.prices(tables, chosen, indexes)
        assert torch.allclose(best, costs.min(0).values)
    assert torch.equal(refine.round_cheaply(wanted, indexes, tables, 1e9), torch.round(wanted))


def test_far_symbols_are_left_alone(codec):
    wanted, index = torch.tensor([70.2, -500.0]), torch.tensor([0, 0])
    chosen = refine.round_cheaply(wanted, index, codec.entropy.y_tables, 1e-9)
    assert chosen.tolist() == [70, -500]


@torch.no_grad()
def test_the_search_lowers_the_cost_and_touches_only_what_is_coded(codec):
    pixels = picture(70, 90)
    y, before = quantised(codec, pixels)
    fewer = replace(before, skip=int(before.prior.index.median()) + 1)
    after = latent.refined(codec, y, before, pixels, 8)
    assert cost(codec, pixels, after) < cost(codec, pixels, before)
    again = latent.refined(codec, *quantised(codec, pixels), pixels, 8)
    assert torch.equal(after.symbols, again.symbols)
    partly = latent.refined(codec, y, fewer, pixels, 8)
    assert not partly.symbols[~fewer.coded].any()


@torch.no_grad()
def test_blocks_fit_together(codec, monkeypatch):
    pixels = picture(130, 150)
    monkeypatch.setattr(refine, "SIDE", 3)
    y, before = quantised(codec, pixels)
    plain = cost(codec, pixels, before)
    assert cost(codec, pixels, latent.refined(codec, y, before, pixels, 4)) < plain


@pytest.mark.parametrize("shape", [(48, 64, 3), (33, 40, 1)])
def test_a_file_of_more_effort_is_read_like_any_other(shape):
    codec = Codec("test-tiny")
    pixels = picture(*shape[:2])[..., : shape[2]]
    plain, searched = (codec.encode(pixels, quality=5, effort=e).data for e in (1, 3))
    assert codec.verify(searched, full=True) == []
    assert codec.decode(searched).picture.pixels.shape == shape
    assert codec.encode(pixels, quality=5, effort=3).data == searched
    groups = [container.parse(data).header.groups[0] for data in (plain, searched)]
    assert groups[0] == groups[1]
    assert plain != searched


def test_the_human_picture_of_layers_is_the_plain_one_at_any_effort():
    codec = Codec("test-tiny")
    pixels = picture(64, 96)
    mask = np.zeros((64, 96), bool)
    mask[:32] = True
    plain = codec.encode(pixels, quality=5, effort=2).data
    layered = codec.encode(pixels, quality=5, effort=2, tasks=["det"], masks={"det": mask}).data
    assert np.array_equal(codec.decode(plain).picture.pixels, codec.decode(layered).picture.pixels)


def test_effort_is_1_to_9():
    codec = Codec("test-tiny")
    for effort in (0, 10):
        with pytest.raises(UsageError, match="a number from 1 to 9"):
            codec.encode(picture(32, 32), effort=effort)


def test_a_codec_that_does_not_say_its_lambda(codec, monkeypatch):
    monkeypatch.setattr(type(codec), "tradeoff", lambda self, quality: None)
    with pytest.raises(UsageError, match="encode with effort 1"):
        Codec("test-tiny").encode(picture(32, 32), effort=2)
