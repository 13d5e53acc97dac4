from __future__ import annotations

import click
import pytest

from icmhcodec.cli.options import parse_crop, parse_names, parse_size, parse_tasks

CONTEXT = click.Context(click.Command("test"))
PARAMETER = click.Option(["--option"])


@pytest.mark.parametrize(
    ("text", "size"), [("20000", 20000), ("20k", 20000), ("1.5M", 1_500_000), ("2kB", 2000)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(CONTEXT, PARAMETER, text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "0", "1e3", "1 G", "0.0001k", "20000 x"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no size"):
        parse_size(CONTEXT, PARAMETER, text)


def test_regions() -> None:
    assert parse_crop(CONTEXT, PARAMETER, None) is None
    assert parse_crop(CONTEXT, PARAMETER, "4000,20,800,1") == (4000, 20, 800, 1)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,0", "-1,2,3,4", "1,2,3,4,5", "1, 2,3,4"])
def test_no_regions(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no region"):
        parse_crop(CONTEXT, PARAMETER, text)


def test_tasks_are_split_at_commas() -> None:
    assert parse_tasks(CONTEXT, PARAMETER, ["det:2,cls", "seg"]) == ("det:2", "cls", "seg")
    assert parse_tasks(CONTEXT, PARAMETER, []) == ()


@pytest.mark.parametrize("text", ["", "det,", "Det", "det:", "det:x", "1det", "a..b", "a" * 65])
def test_no_tasks(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no task"):
        parse_tasks(CONTEXT, PARAMETER, [text])


def test_a_task_is_named_once() -> None:
    with pytest.raises(click.BadParameter, match="named twice"):
        parse_tasks(CONTEXT, PARAMETER, ["det", "det:2"])
    with pytest.raises(click.BadParameter, match="human"):
        parse_tasks(CONTEXT, PARAMETER, ["human"])


def test_layers_have_no_level() -> None:
    assert parse_names(CONTEXT, PARAMETER, ["det,cls"]) == ("det", "cls")
    with pytest.raises(click.BadParameter, match="without its level"):
        parse_names(CONTEXT, PARAMETER, ["det:2"])
