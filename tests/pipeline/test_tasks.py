"""Several tasks in one file: nested in one latent, or each with its own."""

from __future__ import annotations

from functools import cache
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from icmhcodec import container, modelfile
from icmhcodec.adapters import bundles
from icmhcodec.container import Header, MaskKind
from icmhcodec.errors import MissingWeightsError
from icmhcodec.modelfile import ModelFile
from icmhcodec.pipeline.codec import Codec
from tests.pipeline.conftest import photo, random_bundle

PICTURE = photo(80, 140)
KINDS = {"det": "light", "cls": "icmh-net", "seg": "channels"}
TASKS = tuple(KINDS)
ORDERS = list(permutations(TASKS))


@pytest.fixture(autouse=True)
def bundles_of_all_kinds(models: Path) -> None:
    """Beside the fixture's: for each task a predictor of another kind, and machine bundles.

    Only det's machine bundle has a predictor; seg's bundles adapt the picture as well.
    """
    for path in bundles.user_folder().glob("*"):
        path.unlink()
    for model in _bundles():
        path = models / "model.safetensors"
        modelfile.write(path, model)
        bundles.add(path)


@cache
def _bundles() -> list[ModelFile]:
    found = []
    for seed, (task, kind) in enumerate(KINDS.items()):
        picture = task == "seg"
        found += random_bundle(task, seed, "scalable", kind, picture)
        found += random_bundle(task, seed, "machine", picture=picture)
    predictor = random_bundle("det", 0, "scalable", "icmh-net")[0]
    found.append(ModelFile({**predictor.metadata, "profile": "machine"}, predictor.tensors))
    return found


def pixels(codec: Codec, data: bytes, **choice: object) -> np.ndarray:  # type: ignore[type-arg]
    """A decoded picture, of which there is nothing to say."""
    decoded = codec.decode(data, **choice)  # type: ignore[arg-type]
    assert decoded.warnings == ()
    return decoded.picture.pixels


def coded(codec: Codec, data: bytes, header: Header) -> Tensor:
    """The number of elements that a group's layers may hold."""
    group = header.groups[0]
    base = codec._networks.base_of(group.codec, torch.float32)
    from icmhcodec.pipeline import latent
    from icmhcodec.pipeline.decode import _hyper

    z = _hyper(base, container.parse(data), 0)
    prior = latent.prior_of(base, z, header.width, header.height)
    return (prior.index >= group.skip).sum()


@pytest.mark.parametrize("order", ORDERS, ids=",".join)
def test_every_order_nests_decodes_and_splits(codec: Codec, order: tuple[str, ...]) -> None:
    data = codec.encode(PICTURE, tasks=order).data
    header = container.parse(data).header
    assert [layer.task for layer in header.layers] == [*order, "human"]
    assert {layer.mask for layer in header.layers[:-1]} == {MaskKind.DERIVED}
    assert all(layer.symbols for layer in header.layers)
    plain = codec.encode(PICTURE).data
    assert np.array_equal(pixels(codec, data), pixels(codec, plain))
    for count in (1, 2, 3):
        wanted = order[:count]
        part, rest = container.split(data, wanted), container.rest(data, wanted)
        assert data.startswith(part)
        assert container.join([rest, part]) == data
        for task in wanted:
            whole = pixels(codec, data, task=task)
            assert np.array_equal(pixels(codec, part, task=task), whole)
        assert codec.decode(part).layer == wanted[-1]
        # A later layer alone is worth nothing, but its part brings all that it stands on.
        assert container.split(data, [wanted[-1]]) == part


@pytest.mark.parametrize("skip", [None, 0, 20])
def test_symbols_add_up_to_the_latent_less_the_skipped(codec: Codec, skip: int | None) -> None:
    data = codec.encode(PICTURE, tasks=TASKS, skip=skip).data
    header = container.parse(data).header
    assert sum(layer.symbols for layer in header.layers) == coded(codec, data, header)
    if skip == 0:
        assert coded(codec, data, header) == 12 * 5 * 9
    unions = list(codec.symbols(data).values())[1:]
    for before, after in pairwise(unions):
        assert ((before == 0) | (before == after)).all()


@pytest.mark.parametrize("order", [("seg", "cls"), TASKS], ids=",".join)
@pytest.mark.parametrize("human", [False, True])
def test_machine_groups_stand_alone(codec: Codec, order: tuple[str, ...], human: bool) -> None:
    data = codec.encode(PICTURE, tasks=order, profile="machine", with_human=human).data
    header = container.parse(data).header
    names = [*order, *["human"] * human]
    assert [(layer.group, layer.task) for layer in header.layers] == list(enumerate(names))
    masks = {layer.task: layer.mask for layer in header.layers}
    assert masks == {t: MaskKind.DERIVED if t == "det" else MaskKind.FULL for t in names}
    assert header.profile == ("simulcast" if human else "machine")
    for task in order:
        alone = codec.encode(PICTURE, tasks=[task], profile="machine").data
        part = container.split(data, [task])
        assert abs(len(part) - len(alone)) < 40 * len(names)  # entries of the tables
        expected = pixels(codec, alone, task=task)
        assert np.array_equal(pixels(codec, part, task=task), expected)
        assert np.array_equal(pixels(codec, data, task=task), expected)
        assert container.join([part, container.rest(data, [task])]) == data
    if human:
        plain = codec.encode(PICTURE).data
        assert np.array_equal(pixels(codec, data), pixels(codec, plain))


def test_a_simulcast_splits_into_every_set_of_layers(codec: Codec) -> None:
    data = codec.encode(PICTURE, tasks=TASKS, profile="machine", with_human=True).data
    parts = [container.split(data, [name]) for name in (*TASKS, "human")]
    assert container.join(parts[::-1]) == data
    pair = container.split(data, ["det", "seg"])
    assert pair == container.join([parts[0], parts[2]])
    assert codec.decode(pair).layer == "seg"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    order=st.sampled_from([o[:n] for o in ORDERS for n in (1, 2, 3)]),
    levels=st.tuples(*[st.integers(1, 4)] * 3),
    quality=st.sampled_from([0, 1.37, 4, 6.5, 9]),
    profile=st.sampled_from(["scalable", "machine"]),
    human=st.booleans(),
    portable=st.booleans(),
    tile=st.sampled_from([0, 64]),
)
def test_whatever_is_asked_for_round_trips(
    codec: Codec,
    order: tuple[str, ...],
    levels: tuple[int, ...],
    quality: float,
    profile: str,
    human: bool,
    portable: bool,
    tile: int,
) -> None:
    names = [f"{task}:{level}" for task, level in zip(order, levels, strict=False)]
    encoded = codec.encode(
        PICTURE,
        tasks=names,
        quality=quality,
        profile=profile,
        with_human=human,
        portable=portable,
        tile=tile,
    )
    assert encoded.levels == levels[: len(order)]
    assert codec.verify(encoded.data, full=True) == []
    symbols = codec.symbols(encoded.data)
    for task in order:
        part = container.split(encoded.data, [task])
        of_part = codec.symbols(part)
        assert all(torch.equal(of_part[name], symbols[name]) for name in of_part)
        assert any(name.endswith(f" {task}") for name in of_part)
    parts = [container.split(encoded.data, [task]) for task in order]
    assert container.join([container.rest(encoded.data, order), *parts]) == encoded.data
    if human:
        plain = codec.encode(PICTURE, quality=quality).data
        human_symbols = next(v for name, v in symbols.items() if name.endswith(" human"))
        assert torch.equal(codec.symbols(plain)["layer 0 human"], human_symbols)


def test_three_tasks_cost_few_bytes_beside_their_symbols(codec: Codec) -> None:
    plain, layered = (codec.encode(PICTURE, tasks=tasks).data for tasks in ((), TASKS))
    # An entry of 46 bytes with two named bundles of ids like "det-7", a chunk's frame of 12, and
    # what another segment takes to begin with.
    assert container.overhead(layered) - container.overhead(plain) <= 3 * 59
    assert container.overhead(layered) <= 280


@pytest.mark.parametrize("tile", [0, 64])
def test_a_crop_of_an_adapted_picture_is_that_of_the_whole(codec: Codec, tile: int) -> None:
    data = codec.encode(photo(150, 203), tasks=["det", "seg"], tile=tile).data
    for task in ("det", "seg"):
        decoded = codec.decode(data, task=task)
        assert decoded.adapted == (("decoder",) if task == "det" else ("decoder", "task adapter"))
        for x, y, width, height in ((0, 0, 203, 150), (61, 70, 33, 5), (100, 0, 103, 150)):
            part = pixels(codec, data, task=task, crop=(x, y, width, height))
            whole = decoded.picture.pixels[y : y + height, x : x + width]
            assert np.abs(part.astype(int) - whole).max() <= 1


def test_a_picture_in_blocks_is_adapted_as_the_whole(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec.encode(photo(150, 203), tasks=["seg"]).data
    whole = pixels(codec, data, task="seg").astype(int)
    monkeypatch.setattr("icmhcodec.pipeline.blocks.WHOLE", 1)
    monkeypatch.setattr("icmhcodec.pipeline.blocks.SIDE", 64)
    assert np.abs(pixels(codec, data, task="seg") - whole).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (65, 66)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_size_are_adapted(
    codec: Codec, size: tuple[int, int], channels: int
) -> None:
    data = codec.encode(photo(*size, channels), tasks=["seg"]).data
    decoded = codec.decode(data, task="seg")
    assert decoded.adapted == ("decoder", "task adapter")
    assert decoded.picture.pixels.shape == (*size, channels)


def test_people_and_other_tasks_see_no_adapted_picture(codec: Codec, models: Path) -> None:
    data = codec.encode(PICTURE, tasks=["det", "seg"]).data
    assert codec.decode(data).adapted == ()
    with_part = codec.decode(data, task="seg").picture.pixels
    for path in bundles.user_folder().glob("adapter-*"):
        path.unlink()
    without = Codec("test-tiny").decode(data, task="seg")
    assert without.adapted == ()
    assert "decoded without it" in without.warnings[0]
    assert not np.array_equal(without.picture.pixels, with_part)


def test_a_task_without_a_bundle_is_told_which_are_here(codec: Codec) -> None:
    with pytest.raises(MissingWeightsError) as error:
        codec.encode(PICTURE, tasks=["det", "pose"])
    message = str(error.value)
    assert "task 'pose': no scalable bundle for test-tiny is here" in message
    assert "cls-7 machine, cls-7 scalable" in message
    assert " for " not in message.partition("(here: ")[2]  # what there is of another task elsewhere
    assert "\n" not in message


@pytest.mark.parametrize("profile", ["scalable", "machine"])
def test_the_part_of_three_tasks_keeps_its_size(codec: Codec, profile: str) -> None:
    def part(data: bytes) -> int:
        return len(container.split(data, TASKS))

    def encode(**options: object) -> tuple[bytes, bool]:
        names = [f"{task}:3" for task in TASKS]
        encoded = codec.encode(PICTURE, tasks=names, profile=profile, **options)  # type: ignore[arg-type]
        return encoded.data, encoded.met

    free = part(encode(quality=7)[0])
    data, met = encode(quality=7, task_size=free * 2 // 3)
    assert met
    assert free // 3 < part(data) <= free * 2 // 3
    assert codec.verify(data, full=True) == []
