from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import cases
from benchmarks.cases import Case
from icmhcodec import container, modelfile
from icmhcodec.adapters import bundles
from icmhcodec.codecs import registry
from icmhcodec.container import MaskKind
from icmhcodec.pipeline.codec import Codec
from tests.benchmarks.conftest import picture
from tests.pipeline.conftest import random_bundle

TINY = "test-tiny"


def add(tmp_path, task, profile):
    for file in random_bundle(task, len(task) + ord(task[0]), profile):
        modelfile.write(tmp_path / "bundle", file)
        bundles.add(tmp_path / "bundle")


def test_a_codec_without_bundles_gets_an_explicit_mask():
    (case,) = cases.every([TINY])
    assert case == Case(TINY, ())
    data = Codec(TINY).encode(picture(64, 128), **case.options(picture(64, 128))).data
    first, second = container.parse(data).header.layers
    assert (first.mask, second.task) == (MaskKind.EXPLICIT, "human")


def test_bundles_of_both_profiles_are_found_alone_and_together(tmp_path):
    for task in ("det", "cls"):
        for profile in ("scalable", "machine"):
            add(tmp_path, task, profile)
    found = cases.every([TINY])
    assert [(case.profile, case.bundles) for case in found] == [
        ("scalable", ("cls-7",)),
        ("scalable", ("det-7",)),
        ("machine", ("cls-7",)),
        ("machine", ("det-7",)),
        ("scalable", ("cls-7", "det-7")),
        ("machine", ("cls-7", "det-7")),
    ]
    assert set(found[0].weights()) == {"codec", "cls-7 predictor", "cls-7 adapter"}
    assert set(found[2].weights()) == {"codec", "cls-7 adapter"}
    pixels = picture(64, 128)
    data = Codec(TINY).encode(pixels, **found[-1].options(pixels)).data
    assert [layer.task for layer in container.parse(data).header.layers] == ["cls", "det", "human"]


@pytest.mark.parametrize("kind", ["light", "channels", "icmh-net"])
def test_random_predictors_select_some_and_are_the_same_every_time(kind):
    state = torch.random.get_rng_state()
    first, second = (cases.add_random(TINY, kind) for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), state)
    (case,) = cases.single(TINY)
    pixels = picture(64, 128)
    data = Codec(TINY).encode(pixels, quality=9, **case.options(pixels)).data
    layer, rest = container.parse(data).header.layers
    assert layer.mask is MaskKind.DERIVED
    assert layer.symbols > 0
    assert rest.symbols > 0


def test_the_packaged_codecs_are_found():
    assert TINY in cases.packaged_bases()
    for base in cases.packaged_bases():
        assert np.isfinite(registry.load(base).default_skip)
