from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icmhcodec import modelfile
from icmhcodec.codecs import registry

from .conftest import Run, lines

COMMON = ("--task", "cls", "--network", "my.toml", "--base", "test-tiny")
RECIPE = """
steps = 6
batch = 2
crop = 64
workers = 0
width = 4
average = 0.5
"""
SCALABLE = f"""{RECIPE}
profile = "scalable"
encoder = []
predictor = "light"
alone = 0.3
"""


@pytest.fixture(autouse=True)
def _here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[None]:
    """Photos, recipes and a classifier in ONNX in an empty folder; one thread."""
    import torch

    request.getfixturevalue("run")
    _paint()
    Path("scalable.toml").write_text(SCALABLE)
    Path("machine.toml").write_text(RECIPE)
    Path("psi.toml").write_text("steps = 3\nbatch = 2\ncrop = 64\nworkers = 0\n")
    Path("full.toml").write_text(
        "steps = 3\nbatch = 2\ncrop = 64\nworkers = 0\ncompile = false\n"
        'optimiser = "adam"\nlambdas = [0.3, 12]\n'
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr("icmhcodec.training.machine.keep_memory", lambda: True)
    yield
    torch.set_num_threads(threads)


def _paint() -> None:
    random = np.random.default_rng(0)
    Path("photos").mkdir()
    for k in range(6):
        coarse = random.integers(0, 255, (9, 10, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((100, 90)).save(f"photos/{k}.png")


@pytest.fixture
def classifier() -> None:
    """A classifier of three classes, described in my.toml."""
    onnx = pytest.importorskip("onnx")
    for needed in ("onnxruntime", "onnx2torch"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    helper, types = onnx.helper, onnx.TensorProto
    random = np.random.default_rng(0)
    kernel = random.normal(size=(4, 3, 3, 3)).astype(np.float32) / 9
    head = random.normal(size=(4, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["map"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["map"], ["seen"]),
        helper.make_node("GlobalAveragePool", ["seen"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", types.FLOAT, (1, 3, 64, 64))],
        [helper.make_tensor_value_info("logits", types.FLOAT, (1, 3))],
        [
            onnx.numpy_helper.from_array(kernel, "kernel"),
            onnx.numpy_helper.from_array(head, "head"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    Path("my.onnx").write_bytes(model.SerializeToString())
    Path("my.toml").write_text(
        'file = "my.onnx"\ntask = "cls"\n[input]\nsize = 64\nscale = 0.0039\n'
        '[output]\nclasses = [0, 1, 2]\nfeatures = ["seen"]\n'
    )


def _coded_and_decoded(run: Run, profile: str) -> None:
    encoded = run(
        "encode", "photos/0.png", "--base", "test-tiny", "--task", "cls", "--profile", profile,
        "-o", f"{profile}.icm",
    )  # fmt: skip
    assert encoded.exit_code == 0, encoded.stderr
    decoded = run("decode", f"{profile}.icm", "--task", "cls", "-o", f"{profile}.png")
    assert decoded.exit_code == 0, decoded.stderr
    assert "warning" not in decoded.stderr
    with Image.open(f"{profile}.png") as image:
        assert image.size == (100, 90)


@pytest.mark.usefixtures("classifier")
def test_a_users_classifier_from_photos_to_a_coded_file(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from icmhcodec.training import adapter

    command = ("train", "adapter", "photos", *COMMON, "--recipe", "scalable.toml")
    step = adapter.Run.step

    def interrupted(self: adapter.Run, crops: object) -> object:
        if self.steps == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, crops)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(adapter.Run, "step", interrupted)
        stopped = run(*command)
    assert stopped.exit_code == 130, stopped.stderr
    out = Path("photos-cls-trained")
    assert lines(stopped)[0].startswith(f"icmh: {out}: the run's folder")
    assert "stopped at 50%" in lines(stopped)[-1]
    other = run(*command, "--kind", "naive")
    assert other.exit_code == 2
    assert "holds a run of another recipe" in other.stderr
    Path("other.toml").write_text(Path("my.toml").read_text() + "\n")
    Path("other.toml").write_text(Path("my.toml").read_text().replace("0.0039", "0.004"))
    elsewhere = run("train", "adapter", "photos", "-o", out, "--network", "other.toml",
                    "--base", "test-tiny")  # fmt: skip
    assert elsewhere.exit_code == 2
    assert "holds a run for another network" in elsewhere.stderr

    resumed = run(*command)
    assert resumed.exit_code == 0, resumed.stderr
    assert "going on on 5 photos, 1 held out" in resumed.stderr
    assert resumed.stdout.startswith("quality  bpp before")
    assert "held-out crops: loss" in resumed.stdout
    for kind in ("predictor", "adapter"):
        added = run("models", "add", out / f"{kind}.safetensors")
        assert added.exit_code == 0, added.stderr
    shown = [
        json.loads(line) for line in run("models", "show", "cls-0", "--json").stdout.splitlines()
    ]
    assert {row["kind"] for row in shown} == {"predictor", "adapter"}
    for row in shown:
        assert row["steps"] == "6"
        assert row["network"].startswith("my ")
        assert row["photos"] == "5"
        report = json.loads(row["held_out_report"])
        assert len(report["before"]) == len(report["after"]) == 4
        assert report["loss_after"] < report["loss_before"]
    _coded_and_decoded(run, "scalable")

    psi = run("train", "task-adapter", "photos", *COMMON, "--recipe", "psi.toml", "--bundle", out)
    assert psi.exit_code == 0, psi.stderr
    added = run("models", "add", "photos-cls-task-adapter/adapter.safetensors")
    assert added.exit_code == 0, added.stderr
    Path("scalable.icm").unlink()
    Path("scalable.png").unlink()
    _coded_and_decoded(run, "scalable")

    again = run(*command)
    assert again.exit_code == 0, again.stderr
    assert "held-out crops: loss" in again.stdout


@pytest.mark.usefixtures("classifier")
def test_the_machine_profile_and_its_predictor(run: Run) -> None:
    machine = (*COMMON, "--profile", "machine", "--recipe", "machine.toml", "--kind", "sma")
    trained = run("train", "adapter", "photos", *machine, "--predictor", "light", "--id", "cls-7")
    assert trained.exit_code == 0, trained.stderr
    out = Path("photos-cls-machine")
    for kind in ("predictor", "adapter"):
        assert run("models", "add", out / f"{kind}.safetensors").exit_code == 0
    _coded_and_decoded(run, "machine")
    info = json.loads(run("info", "machine.icm", "--json").stdout)
    (layer,) = info["layers"]
    assert layer["adapter"]["id"] == layer["predictor"]["id"] == "cls-7"

    begun = run("train", "adapter", "photos", *COMMON, "--recipe", "scalable.toml", "--start", out)
    assert begun.exit_code == 0, begun.stderr
    fitting = [line for line in lines(begun) if "tensors begin" in line]
    predictor, decoder = 17, 16  # of the first run's kinds
    (said,) = fitting
    assert said.startswith(f"icmh: {out}: {predictor + decoder} of ")
    models = [modelfile.read(path) for path in Path("photos-cls-trained").glob("*.safetensors")]
    assert [model.metadata["start"] for model in models] == [out.name] * 2
    assert "alone 0.0" in models[0].metadata["recipe"]

    named = run("train", "adapter", "photos", *COMMON, "--recipe", "scalable.toml", "--start",
                "cls-7", "-o", "named")  # fmt: skip
    assert named.exit_code == 0, named.stderr
    assert f"icmh: cls-7 machine: {predictor + decoder} of " in named.stderr
    models = [modelfile.read(path) for path in Path("named").glob("*.safetensors")]
    assert [model.metadata["start"] for model in models] == ["cls-7 machine"] * 2
    assert "alone 0.0" in models[0].metadata["recipe"]


@pytest.mark.usefixtures("classifier")
def test_a_predictor_alone_and_all_weights(run: Run) -> None:
    alone = run("train", "predictor", "photos", *COMMON, "--recipe", "scalable.toml",
                "--predictor", "channels")  # fmt: skip
    assert alone.exit_code == 0, alone.stderr
    files = {p.name for p in Path("photos-cls-predictor").glob("*.safetensors")}
    assert files == {"predictor.safetensors"}
    full = run("train", "adapter", "photos", *COMMON, "--method", "full", "--recipe", "full.toml")
    assert full.exit_code == 0, full.stderr
    codec = Path("photos-cls-full/base.safetensors")
    assert run("models", "add", codec).exit_code == 0
    encoded = run("encode", "photos/0.png", "--base", "test-tiny.cls", "-o", "full.icm")
    assert encoded.exit_code == 0, encoded.stderr
    assert run("decode", "full.icm", "-o", "full.png").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("adapter", "photos"), 2, "name the task (--task det) or the network"),
        (("adapter", "none", "--task", "det"), 2, "none: no such folder"),
        (("adapter", "photos", "--task", "dot"), 2, "no recognition network 'dot'"),
        (("adapter", "photos", "--task", "det", "--minutes", "0"), 2, "--minutes"),
        (("adapter", "photos", "--task", "det", "--method", "full", "--kind", "sma"), 2, "neither"),
        (("adapter", "photos", "--network", "none.toml"), 2, "none.toml"),
        (("predictor", "photos"), 2, "name the task"),
        (("task-adapter", "photos"), 2, "name the task"),
    ],
)
def test_errors(run: Run, arguments: tuple[str, ...], code: int, message: str) -> None:
    result = run("train", *arguments)
    assert result.exit_code == code, result.stderr
    assert len(lines(result)) == 1
    assert message in result.stderr
    assert not [p for p in Path().iterdir() if p.name.startswith("photos-")]


@pytest.mark.usefixtures("classifier")
def test_what_does_not_fit_is_refused_before_anything_is_written(run: Run) -> None:
    for arguments, message in (
        (("adapter", "photos", *COMMON, "--kind", "lora"), "kind is one of sfma"),
        (("adapter", "photos", *COMMON, "--recipe", "fast"), "the package has full, machine"),
        (("adapter", "photos", *COMMON, "--id", "No Name"), "'No Name' is no name"),
        (("adapter", "photos", *COMMON, "--start", "photos"), "no state of a training here"),
        (("adapter", "photos", *COMMON, "--start", "pose-1"), "neither a run's folder nor a bundl"),
        (("task-adapter", "photos", *COMMON), "cls: no run's folder, and no scalable bundle"),
    ):
        result = run("train", *arguments)
        assert result.exit_code in (2, 4), result.stderr
        assert message in result.stderr
    assert not [p for p in Path().iterdir() if p.name.startswith("photos-")]
    assert registry.names()
