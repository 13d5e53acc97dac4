from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icmhcodec.errors import UsageError
from icmhcodec.tasks import description
from icmhcodec.tasks.inputs import Input

BARE = 'task = "det"\nfile = "my.onnx"\n[input]\nsize = 64\n[output]\n'


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        (tmp_path / "my.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return description.read(tmp_path / "my.toml")

    return write_and_read


def test_the_documented_example_is_read(read, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
    example = page.partition("```toml\n")[2].partition("```")[0]
    assert read(example) == description.Description(
        name="my-detector",
        file=tmp_path / "my.onnx",
        sha256="...",
        task="det",
        layout="nchw",
        dtype="float32",
        input=Input((416, 416), "letterbox"),
        output=description.Output(
            kind="yolo",
            names={"objects": 0},
            classes=tuple(description.CLASSES["coco80"]),
            features=("p3", "p4"),
            box="cxcywh",
        ),
    )


def test_little_is_needed(read):
    said = read('task = "seg"\nfile = "net.pt2"\ninput.size = [32, 64]\n')
    assert (said.name, said.sha256, said.input) == ("my", "", Input((32, 64)))
    assert said.output == description.Output("logits", {"logits": 0}, tuple(range(21)))


def test_outputs_have_names_or_positions(read):
    said = read(BARE + 'boxes = "b"\nscores = 5\n')
    assert said.output.names == {"boxes": "b", "scores": 5, "labels": 2}
    assert said.output.overlap == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('file = "a.onnx"', "task is missing"),
        ('task = "pose"\nfile = "a.onnx"', "task has to be one of cls, det, seg"),
        (BARE + 'kind = "grid"', r"\[output\]: kind has to be one of boxes, rows, scores, yolo"),
        (BARE + 'activation = "relu"', "activation has to be one of none, sigmoid, softmax"),
        (BARE + "extra = 1\nmore = 2", r"\[output\]: unknown: extra, more"),
        (BARE + 'classes = "coco"', "classes has to be a list of numbers or one of imagenet"),
        (BARE + "classes = []", "classes has to be no empty list"),
        (BARE + "classes = [1.5]", "classes has to be a number"),
        (BARE + "boxes = [1, 2]", "boxes has to be the name or the position"),
        (BARE + 'score = "high"', "score has to be a number"),
        (BARE + "relative = 1", "relative has to be true or false"),
        (BARE.replace("64", "0"), "size has to be a number"),
        (BARE.replace("64", "[1, 2, 3]"), "size has to be one number, or height and width"),
        (BARE.replace("64", "nan"), "size has to be a number"),
        (BARE.replace("size = 64", "size = 64\nstd = [1, 0, 1]"), "std has to be three numbers"),
        (BARE.replace("size = 64", "size = 64\nscale = nan"), "scale has to be a number"),
        ('task = "cls"\nfile = "a.onnx"\ninput = 3', r"input has to be a table: \[input\]"),
        (
            'task = "seg"\nfile = "a.onnx"\n[input]\nsize = 8\nresize = "crop"',
            "segmentation needs the whole picture",
        ),
        ("task = ", "not a TOML file"),
        (b"\xff", "not a TOML file"),
    ],
)
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(UsageError, match=r"my\.toml.*" + message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_missing_description_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read \(No such file"):
        description.read(tmp_path / "none.toml")


keys = st.sampled_from(["task", "file", "size", "kind", "mean", "classes", "x", "[input]\nsize"])
values = st.sampled_from(
    ["1", "[]", "[[1]]", '"det"', "{}", "1979-05-27", "true", "-inf", '"yolo"']
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(keys, values)), st.binary(max_size=5))
def test_any_file_is_read_or_refused(read, entries, tail):
    text = "".join(f"{key} = {value}\n" for key, value in entries).encode() + tail
    for start in (b"", BARE.encode()):
        with contextlib.suppress(UsageError):
            read(start + text)
