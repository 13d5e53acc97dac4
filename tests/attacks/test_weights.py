"""Broken and hostile weights are refused when they are read, in one line that says why."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.adapters.kinds import load_stages
from icmhcodec.codecs import registry
from icmhcodec.codecs.hyperprior import Hyperprior
from icmhcodec.entropy.coder import Tables
from icmhcodec.errors import FormatError, MissingWeightsError
from icmhcodec.masks import kinds as predictors
from icmhcodec.masks.light import LightNet
from icmhcodec.masks.predictor import HIGHEST_QUALITY, LEVELS, Condition
from icmhcodec.modelfile import ModelFile
from icmhcodec.pipeline.codec import Codec
from tests.pipeline.conftest import BASE, photo, random_bundle

Tensors = dict[str, Tensor]
PREDICTOR, ADAPTER = random_bundle("det", 0)
TINY = modelfile.read(registry.WEIGHTS / f"{BASE}.safetensors")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.set_num_threads(1)
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))
    return tmp_path


def _file(folder: Path, model: ModelFile) -> Path:
    path = folder / "model.safetensors"
    modelfile.write(path, model)
    return path


def _raw(folder: Path, header: object, body: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def test_truncated_files_are_refused(data: Path) -> None:
    path = _file(data, PREDICTOR)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in (0, 7, 8, 9, len(whole) - 1, *rng.integers(10, len(whole), 30)):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            bundles.add(path)
    assert not bundles.user_folder().exists()


def test_flipped_bits_are_refused_or_another_fingerprint(data: Path) -> None:
    path = _file(data, PREDICTOR)
    expected = bundles.add(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(200):
        changed = bytearray(whole)
        # Half of them in the header, which has the names, the types and the metadata.
        end = len(whole) if rng.integers(2) else 8 + int.from_bytes(whole[:8], "little")
        changed[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            model = modelfile.read(path)
            predictors.load(model.tensors)
            found = bundles.add(path)
        except FormatError:
            continue
        same = model.tensors.keys() == PREDICTOR.tensors.keys() and all(
            _same(model.tensors[k], v) for k, v in PREDICTOR.tensors.items()
        )
        assert same == (found.fingerprint == expected.fingerprint)


def test_pickles_are_never_read(data: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return pytest.fail, ("a pickle was read",)

    path = data / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FormatError, match="safetensors"):
        bundles.add(path)
    torch.save({"x": Bomb()}, path)
    with pytest.raises(FormatError, match="safetensors"):
        modelfile.read(path)


def test_headers_that_lie_are_refused(data: Path) -> None:
    metadata = {"__metadata__": ADAPTER.metadata}
    for entry, body in (
        ({"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}, 4),
        ({"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}, 0),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, 8),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, 8),
        ({"dtype": "object", "shape": [1], "data_offsets": [0, 4]}, 4),
        ({"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}, 3),
    ):
        with pytest.raises(FormatError):
            bundles.add(_raw(data, {**metadata, "x": entry}, bytes(body)))
    with pytest.raises(FormatError):
        bundles.add(_raw(data, {"__metadata__": {**ADAPTER.metadata, "id": 5}}))


@pytest.mark.parametrize("key", ["id", "kind", "base", "base_fingerprint", "task"])
def test_missing_metadata_is_refused_and_does_not_hide_others(data: Path, key: str) -> None:
    incomplete = {k: v for k, v in ADAPTER.metadata.items() if k != key}
    with pytest.raises(FormatError):
        bundles.add(_file(data, ModelFile(incomplete, ADAPTER.tensors)))
    good = bundles.add(_file(data, ADAPTER))
    # Also where somebody copied it into the folder by hand.
    modelfile.write(bundles.user_folder() / "a.safetensors", ModelFile(incomplete, {}))
    base = registry.load(BASE)
    reference = bundles.Reference(base.id, base.fingerprint)
    found = bundles.find("adapter", "det", reference, "scalable")
    assert found is not None
    assert found[1] == good
    assert bundles.by_reference("adapter", good)
    assert bundles.remove(good.id)


@pytest.mark.parametrize("name", ["../../evil-1", "a/b", "a..b", "A", "", "det-1\nline"])
@pytest.mark.parametrize("key", ["id", "task"])
def test_names_that_no_file_can_hold_are_refused(data: Path, key: str, name: str) -> None:
    metadata = {**ADAPTER.metadata, key: name}
    with pytest.raises(FormatError, match="valid name") as caught:
        bundles.add(_file(data, ModelFile(metadata, ADAPTER.tensors)))
    assert "\n" not in str(caught.value)
    assert not bundles.user_folder().exists()


def test_an_absurd_version_does_not_stop_the_search(data: Path) -> None:
    metadata = {**ADAPTER.metadata, "id": "det-" + "9" * 5000}
    modelfile.write(bundles.user_folder() / "a.safetensors", ModelFile(metadata, {}))
    good = bundles.add(_file(data, ADAPTER))
    base = registry.load(BASE)
    found = bundles.find("adapter", "det", bundles.Reference(base.id, base.fingerprint), "scalable")
    assert found is not None
    assert found[1] == good


def test_a_folder_is_no_bundle(data: Path) -> None:
    folder = bundles.user_folder() / "folder.safetensors"
    folder.mkdir(parents=True)
    with pytest.raises((FormatError, MissingWeightsError)):
        bundles.add(folder)
    assert all(path != folder for path, _ in bundles.available())


def _values(tensor: Tensor) -> list[Tensor]:
    """A tensor with other values, shapes and types than it should have."""
    flat = tensor.reshape(-1)
    others = [
        tensor.to(torch.float32), tensor.to(torch.bfloat16), tensor.to(torch.uint8), tensor[None],
        flat[:0], flat[:1], torch.tensor(0), tensor.bool(), tensor.to(torch.complex64),
        torch.zeros(0, 0, 0, 0, dtype=tensor.dtype),
    ]  # fmt: skip
    if tensor.ndim:
        others += [tensor[:-1], torch.cat([tensor, tensor])]
    if tensor.is_floating_point():
        others += [torch.full_like(tensor, value) for value in (float("nan"), float("inf"))]
    else:
        limits = torch.iinfo(tensor.dtype)
        others += [torch.full_like(tensor, value) for value in (limits.min, limits.max)]
    return others


def _attacks(tensors: Tensors) -> list[tuple[str, Tensors]]:
    """The tensors with one of them gone or another."""
    attacks = []
    for name, tensor in tensors.items():
        attacks.append((name, {k: v for k, v in tensors.items() if k != name}))
        attacks += [(name, {**tensors, name: value}) for value in _values(tensor)]
    return attacks


def _refused(error: FormatError) -> int:
    """One refusal, in one line."""
    assert "\n" not in str(error)
    return 1


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)


def test_predictors_of_other_tensors_are_refused_or_exact() -> None:
    condition = Condition(1000, 2, 90)
    mean = torch.randint(-2000, 2000, (12, 3, 4), dtype=torch.int32)
    index = torch.randint(0, 64, (12, 3, 4)).to(torch.uint8)
    refused = 0
    for _, tensors in _attacks(PREDICTOR.tensors):
        try:
            predictor = predictors.load(tensors)
        except FormatError as error:
            refused += _refused(error)
        else:  # what was proved on load never fails later
            assert predictor(mean, index, condition).shape == mean.shape
    assert refused > 200


def test_tables_whose_rounding_exceeds_the_stored_bound_still_predict() -> None:
    mean = torch.zeros(3, 2, 2, dtype=torch.int32)
    for seed in range(8):
        torch.manual_seed(seed)
        net = LightNet(3, width=16).requires_grad_(False)
        for parameter in net.enter_condition.parameters():
            parameter.copy_(
                torch.rand(parameter.shape) * torch.linspace(0, 1, len(parameter))[:, None]
            )
        predictor = predictors.load(predictors.export(net))
        for level in range(1, LEVELS + 1):
            for quality in (0, 1000, HIGHEST_QUALITY):
                condition = Condition(quality, level, 4000)
                mask = predictor(mean, mean.byte(), condition)
                assert mask.shape == mean.shape


def test_adapters_of_other_tensors_are_refused_or_finite() -> None:
    names = [k for k in ADAPTER.tensors if k.startswith("decoder.1.") or k == "window"]
    tensors = {name: ADAPTER.tensors[name] for name in names}
    x = torch.rand(1, 8, 5, 40)
    refused = 0
    for _, changed in _attacks(tensors):
        try:
            stage = load_stages(changed, "decoder", 3)[1]
        except FormatError as error:
            refused += _refused(error)
        else:
            assert stage is not None
            assert stage(x).isfinite().all()
    assert refused > 150


@pytest.mark.parametrize("window", [-1, 2**31 - 1])
def test_an_adapters_window_is_bounded(window: int) -> None:
    tensors = {**ADAPTER.tensors, "window": torch.tensor([window], dtype=torch.int32)}
    with pytest.raises(FormatError, match="window"):
        load_stages(tensors, "decoder", 3)


def test_an_adapters_width_takes_no_memory_that_the_file_has_not() -> None:
    wide = torch.zeros(2_000_000, 1, 1, 1, dtype=torch.float16)  # 4 MB; a square of it 16 TB
    tensors = {**ADAPTER.tensors, "decoder.0.sma.value.weight": wide}
    with pytest.raises(FormatError, match="size mismatch"):
        load_stages(tensors, "decoder", 3)


def test_base_codecs_of_other_tensors_are_refused() -> None:
    used = {k: v for k, v in TINY.tensors.items() if not k.startswith("entropy_bottleneck.")}
    rng = np.random.default_rng(2)
    attacks = [(name, value) for name, tensor in used.items() for value in (None, *_values(tensor))]
    refused = 0
    z = torch.zeros(8, 1, 2, dtype=torch.int32)
    for at in rng.permutation(len(attacks))[:250]:
        name, value = attacks[at]
        tensors = {k: v for k, v in used.items() if k != name}
        if value is not None:
            tensors[name] = value
        try:
            codec = Hyperprior(ModelFile(TINY.metadata, tensors))
        except FormatError as error:
            refused += _refused(error)
        else:
            mean, index = codec.entropy.parameters(z)
            assert mean.shape == index.shape == (12, 4, 8)
            assert index.max() < 64
            assert len(codec.gains(1000)[1]) == 12
    assert refused > 150


@pytest.mark.parametrize("skip", ["", "x", "-1", "65", "1.5", pytest.param("9" * 5000, id="long")])
def test_a_default_skip_that_is_none_is_refused(skip: str) -> None:
    with pytest.raises(FormatError, match="skip"):
        Hyperprior(ModelFile({**TINY.metadata, "default_skip": skip}, TINY.tensors))


@pytest.mark.parametrize("prefix", ["z.", "y."])
def test_tables_of_other_types_are_refused(prefix: str) -> None:
    own = {
        k.removeprefix("entropy."): v
        for k, v in TINY.tensors.items()
        if k.startswith(f"entropy.{prefix}")
    }
    assert len(Tables.from_tensors(own, prefix))
    for name, tensor in own.items():
        wrapped = tensor.long() + 2**32  # an int32 of it is what it should be
        for value in (wrapped, tensor.float(), tensor.bfloat16(), torch.tensor(5)):
            with pytest.raises(FormatError):
                Tables.from_tensors({**own, name: value}, prefix)


def test_medians_and_thresholds_do_not_wrap() -> None:
    lowest, highest = -(2**31), 2**31 - 1
    medians = TINY.tensors["entropy.medians"].clone()
    medians[0] = lowest
    thresholds = TINY.tensors["entropy.thresholds"].clone()
    thresholds[0], thresholds[1:] = highest, torch.arange(lowest, lowest + 62).int()
    for name, value in (("medians", medians), ("thresholds", thresholds)):
        with pytest.raises(FormatError, match="fit together"):
            Hyperprior(ModelFile(TINY.metadata, {**TINY.tensors, f"entropy.{name}": value}))


def test_a_broken_adapter_costs_the_adapter_and_not_the_picture(data: Path) -> None:
    tensors = {
        k: torch.full_like(v, torch.nan) if "up" in k else v for k, v in ADAPTER.tensors.items()
    }
    bundles.add(_file(data, PREDICTOR))
    bundles.add(_file(data, ModelFile(ADAPTER.metadata, tensors)))
    codec = Codec(BASE)
    decoded = codec.decode(codec.encode(photo(64, 64), tasks=["det"]).data, task="det")
    assert any("finite" in warning for warning in decoded.warnings)
