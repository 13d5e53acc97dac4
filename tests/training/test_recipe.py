from pathlib import Path

import pytest

from icmhcodec.errors import UsageError
from icmhcodec.training import adapter, picture, recipe
from icmhcodec.training.recipe import BaseRecipe


def test_the_package_has_recipes_for_machines_and_wider_latents() -> None:
    assert recipe.names() == ["cpu", "gpu", "widen"]
    cpu, gpu, widen = (recipe.load(name) for name in recipe.names())
    assert 0 < widen.coupling < 1e-4
    assert widen.skip == 4
    assert (cpu.batch, cpu.crop) == (8, 192)
    assert (gpu.batch, gpu.crop) == (16, 256)
    assert cpu.bfloat16
    assert cpu.compile


def test_a_recipe_is_read_from_a_file_over_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('optimiser = "soap"\nsteps = 5\nminutes = 3\nscales = [1, 0.5]\n')
    own = recipe.load(str(path))
    assert own == BaseRecipe(optimiser="soap", steps=5, minutes=3.0, scales=(1.0, 0.5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed = 3", "no such key speed; known are minutes, "),
        ('batch = "8"', "batch is not like 8"),
        ("batch = 8.5", "batch is not like 8"),
        ("mirror = 1", "mirror is not like True"),
        ("scales = 0.5", "scales is not like"),
        ('scales = ["1"]', "scales is not like"),
        ("scales = []", "scales lie in 0 to 1"),
        ("crop = 100", "crop is a multiple of 64"),
        ("batch = 0", "counts"),
        ("lambdas = [0.2, 0.1]", "the lowest and the highest"),
        ('optimiser = "sgd"', "one of muon, soap, adam"),
        ("float32_share = 2.0", "a share"),
        ("average = 1.0", "a decay"),
        ("batch = ", "not TOML"),
    ],
)
def test_bad_recipes_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        recipe.load(str(path))
    assert "bad.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["fast", "none.toml", "../cpu"])
def test_recipes_that_are_not_there(name: str) -> None:
    with pytest.raises(UsageError, match=name.replace(".", r"\.")):
        recipe.load(name)


def test_a_recipe_comes_back_from_its_values() -> None:
    from dataclasses import asdict

    for kind in (BaseRecipe, adapter.TaskRecipe, picture.PictureRecipe):
        own = kind(minutes=7.0, seed=3)
        assert recipe.parse(kind, asdict(own)) == own
