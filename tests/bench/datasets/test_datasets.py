from __future__ import annotations

import pytest

from icmhcodec.bench import datasets
from icmhcodec.errors import UsageError
from tests.bench.datasets import trees


def test_each_layout_is_recognised_as_itself(tmp_path):
    assert datasets.recognise(trees.coco(tmp_path / "a")).layout == "coco"
    assert datasets.recognise(trees.panoptic(tmp_path / "b")).layout == "panoptic"
    assert datasets.recognise(trees.voc(tmp_path / "c")).layout == "voc"
    trees.picture(tmp_path / "d" / "x.png")
    dataset = datasets.recognise(tmp_path / "d")
    assert (dataset.name, dataset.layout) == ("d", "plain")


def test_what_is_not_understood_names_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UsageError, match="looked for") as caught:
        datasets.recognise(tmp_path)
    assert all(f"{name}: " in str(caught.value) for name in datasets.LAYOUTS)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="no such folder"):
        datasets.recognise(tmp_path / "absent")


def test_a_limit_takes_a_fixed_random_subset(tmp_path):
    for number in range(40):
        trees.picture(tmp_path / f"{number:02}.png", 1, 1)

    def names(limit, seed):
        return [s.name for s in datasets.recognise(tmp_path, limit=limit, seed=seed).samples]

    everything = names(None, 0)
    some = names(10, 0)
    assert len(everything) == 40
    assert len(some) == 10
    assert some == sorted(some) == names(10, 0)
    assert some != everything[:10]
    assert some != names(10, 1)
    assert set(names(5, 0)) < set(some)
