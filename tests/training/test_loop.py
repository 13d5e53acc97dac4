from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from icmhcodec.errors import FormatError, UsageError
from icmhcodec.training import loop

from .conftest import TINY, crops_of, tiny_run


def test_a_state_is_whole_or_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, path = tiny_run(), tmp_path / loop.STATE
    run.save(path)
    before = path.read_bytes()

    def fail(state: object, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        run.save(path)
    assert path.read_bytes() == before


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / loop.STATE
    with pytest.raises(UsageError, match="no state"):
        loop.read_state(path)
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(FormatError, match="not a readable state"):
        loop.read_state(path)
    torch.save({"kind": "base"}, path)
    with pytest.raises(FormatError, match="not a state"):
        loop.read_state(path)


def test_a_state_of_another_kind_is_refused(tmp_path: Path) -> None:
    run, path = tiny_run(), tmp_path / loop.STATE
    run.save(path)
    state = torch.load(path, weights_only=True)
    torch.save({**state, "kind": "adapter"}, path)
    with pytest.raises(UsageError, match="of another kind, adapter"):
        run.load(path)


def test_the_clock_ends_a_schedule_of_minutes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    run = tiny_run(replace(TINY, steps=0, minutes=2.0))
    reports: list[loop.Progress] = []
    loop.train(run, crops_of(folder), tmp_path, reports.append)
    assert run.done == 1
    assert run.seconds >= 120
    assert len(reports) > 4
    assert all(a.done <= b.done for a, b in pairwise(reports))
    assert reports[-1].seconds_left == 0
    assert (tmp_path / loop.STATE).exists()


def test_a_resumed_run_is_validated_on_its_way(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 7))
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    run = tiny_run(replace(TINY, steps=0, minutes=30.0))
    crops, reports = crops_of(folder), list[loop.Progress]()
    loop.train(run, crops, tmp_path, stopped=lambda: run.steps == 2)
    loop.train(run, crops, tmp_path, reports.append)
    done = [report.done for report in reports if report.validation]
    assert len(done) > 2
    assert 0 < done[0] < 0.5


def test_a_longer_schedule_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    run = tiny_run(replace(TINY, steps=0, minutes=1.0))
    run.tick(30)
    run.save(tmp_path / loop.STATE)
    longer = tiny_run(replace(TINY, steps=0, minutes=2.0))
    longer.load(tmp_path / loop.STATE)
    assert (run.done, longer.done) == (0.5, 0.25)


def test_rates_rise_then_fall_to_zero() -> None:
    recipe = replace(TINY, warmup=0.1, decay=0.8)
    rates = [recipe.rate(done / 100) for done in range(101)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == 1
    assert rates[10] == rates[20] == 1
    assert rates[60] == pytest.approx(0.5)
    assert rates[100] == 0


def test_without_a_compiler_the_function_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(function: object) -> object:
        raise RuntimeError("no C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", fail)
    function, note = loop.compiled(abs, torch.device("cpu"))
    assert function is abs
    assert note == "RuntimeError: no C++ compiler"
