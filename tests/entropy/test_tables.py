"""Integer tables."""

import math

import numpy as np
import pytest
import torch

from icmhcodec.entropy import tables
from icmhcodec.entropy.coder import HYPER_LIMIT, MOST_ENTRIES, Tables


def frequencies(made: Tables, row: int) -> np.ndarray:
    return np.diff(made.cdfs[row, : made.lengths[row]])


def test_the_scale_table_is_compressais() -> None:
    wanted = torch.exp(torch.linspace(math.log(0.11), math.log(256), 64))
    assert torch.allclose(torch.tensor(tables.scale_table()), wanted, rtol=1e-5)


def test_thresholds_give_the_first_scale_at_or_above() -> None:
    thresholds = tables.scale_thresholds(12)
    scales = torch.tensor(tables.scale_table(), dtype=torch.float64)
    values = torch.arange(1, 300 * 4096, 97)
    index = torch.bucketize(values, thresholds)
    wanted = torch.bucketize(values / 4096, scales[:-1])
    assert torch.equal(index, wanted)
    assert torch.bucketize(torch.tensor([-5, 0, 2**23]), thresholds).tolist() == [0, 0, 63]


def test_gaussian_tables_cost_what_the_gaussians_cost() -> None:
    made = tables.gaussian_tables()
    for row, scale in enumerate(tables.scale_table()):
        counts = frequencies(made, row)
        assert counts.sum() == 2**16
        assert counts.min() >= 1
        values = np.arange(len(counts) - 1) + made.offsets[row]
        edges = np.concatenate([values - 0.5, values[-1:] + 0.5])
        below = np.array([math.erfc(-x / scale / math.sqrt(2)) / 2 for x in edges])
        masses = np.append(np.diff(below), 1 - (below[-1] - below[0]))
        own = -(masses * np.log2(np.maximum(masses, 1e-300))).sum()
        coded = -(masses * np.log2(counts / 2**16)).sum()
        assert coded - own < 3e-3, scale
        assert len(counts) <= MOST_ENTRIES + 1
        if len(counts) < MOST_ENTRIES:
            assert np.abs(counts[:-1] - counts[-2::-1]).max() <= 1
    assert made.lengths[0] >= 5
    assert made.likeliest[:40].tolist() == [0] * 40


def test_a_factorised_prior_is_tabulated_around_its_medians() -> None:
    medians = torch.tensor([0.25, -7.5])
    scales = torch.tensor([[0.3], [40.0]])
    centres = torch.tensor([[0.4], [-9.0]])

    def mass(values: torch.Tensor) -> torch.Tensor:
        upper = torch.sigmoid((values + 0.5 - centres) / scales)
        return (upper - torch.sigmoid((values - 0.5 - centres) / scales)).clamp_min(1e-9)

    made = tables.factorised_tables(mass, medians)
    assert len(made) == 2
    assert made.likeliest.tolist() == pytest.approx([0, -1.5], abs=6)  # the second one is flat
    assert made.lengths[1] == MOST_ENTRIES + 2
    assert made.offsets[1] == pytest.approx(-256 - 1.5, abs=2)
    wanted = mass(torch.tensor([[0.25], [-7.5]]))[:, 0]
    for row in range(2):
        share = frequencies(made, row)[-made.offsets[row]] / 2**16
        assert share == pytest.approx(wanted[row].item(), rel=0.02)
    assert made.offsets.min() >= -HYPER_LIMIT


def test_frequencies_are_the_cheapest() -> None:
    rng = np.random.default_rng(0)
    masses = rng.random(40) ** 8
    masses /= masses.sum()
    counts = np.diff(tables.tables_of(masses[None], 0).cdfs[0])
    best = -(masses * np.log(counts[: len(masses)])).sum()
    for up, down in rng.integers(0, 40, (300, 2)):
        other = counts[: len(masses)].copy()
        if up != down and other[down] > 1:
            other[up] += 1
            other[down] -= 1
            assert -(masses * np.log(other)).sum() >= best - 1e-12
