import pytest
import torch

from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.container import Reference
from icmhcodec.errors import FormatError
from icmhcodec.masks import kinds, light
from icmhcodec.masks.predictor import Condition
from tests.masks.nets import inputs, net

# Files name them: none is ever changed or removed.
RELEASED = [
    ("det-0", "e37eec2e18ed578e"),
    ("det-1", "1ca4ffd45e1ba6c9"),
    ("det-1", "897ebcc1ccb6880d"),
    ("cls-1", "ff2408e346cab220"),
    ("cls-1", "6a5e4b3525d90a1e"),
    ("seg-1", "18edff9bc658e6d4"),
    ("seg-1", "59b244303d1a3466"),
]


@pytest.mark.parametrize(("name", "fingerprint"), RELEASED)
def test_a_released_predictor_keeps_its_fingerprint_and_loads(name: str, fingerprint: str) -> None:
    reference = Reference(name, bytes.fromhex(fingerprint))
    tensors = bundles.by_reference("predictor", reference).tensors
    assert modelfile.fingerprint(tensors) == reference.fingerprint
    assert kinds.kind_of(tensors) == "light"
    mean, index = (values.repeat(16, 1, 1) for values in inputs(0))
    fill = kinds.load(tensors)(mean, index, Condition(1024, 2, 640)).float().mean()
    assert 0.01 < fill < 0.99


def test_the_slope_of_the_index_counts() -> None:
    trained = net("light")
    mean, index = inputs(1)
    before = light.load(trained.export())(mean, index, Condition(0, 1, 1))
    trained.slope += 3
    after = light.load(trained.export())(mean, index, Condition(0, 1, 1))
    assert after.sum() > before.sum()
    assert (after | ~before).all()


def test_slopes_of_another_shape_are_refused() -> None:
    good = net("light").export()
    with pytest.raises(FormatError, match="slope is of another shape"):
        light.load({**good, "slope": good["slope"][:-1]})


def test_an_exported_predictor_can_be_trained_on() -> None:
    """Its weights come back but for rounding, and give the same mask."""
    trained = net("light", seed=3)
    tensors = trained.export()
    again = net("light", seed=4)
    again.load_state_dict(light.weights(tensors))
    for name, value in trained.state_dict().items():
        assert torch.allclose(again.state_dict()[name], value, atol=2e-3, rtol=1e-3), name
    mean, index = inputs(2)
    masks = [light.load(n.export())(mean, index, Condition(700, 3, 500)) for n in (trained, again)]
    assert (masks[0] != masks[1]).float().mean() < 0.005
    assert 0.01 < masks[0].float().mean() < 0.99


def test_the_released_ones_can_be_trained_on() -> None:
    for name, fingerprint in RELEASED:
        reference = Reference(name, bytes.fromhex(fingerprint))
        tensors = bundles.by_reference("predictor", reference).tensors
        floats = light.LightNet(len(tensors["slope"]))
        floats.load_state_dict(light.weights(tensors))
        for key, value in floats.export().items():
            if key.endswith("weight"):  # the very same integers
                assert torch.equal(value, tensors[key]), (name, key)
