import json
from pathlib import Path

import pytest

from benchmarks.fuzz import coverage, mutations


def test_statistics_are_the_last_that_libfuzzer_says() -> None:
    log = "#2 INITED cov: 3 ft: 4 corp: 1/1b\n#80\tREDUCE cov: 12 ft: 34 corp: 5/6Kb lim: 7\n#9 x\n"
    assert coverage.statistics(log) == {"executions": 80, "edges": 12, "features": 34}
    assert coverage.statistics("") == {"executions": 0, "edges": 0, "features": 0}


def test_a_case_that_ends_in_another_error_is_a_finding() -> None:
    def wrong() -> str:
        raise AssertionError("a wrong picture")

    assert "wrong picture" in mutations.judged(wrong, 1e6)["finding"]
    assert "finding" not in mutations.judged(lambda: "done", 1e6)
    assert "MB" in mutations.judged(lambda: "done", 1)["finding"]


def test_a_crash_is_a_finding_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def run(command: list[str], cwd: Path) -> object:
        begin, journal = int(command[-3]), Path(command[-1])
        begun.append(begin)
        cases = [{"case": begin, "kind": "x", "outcome": "done", "seconds": 0.1, "peak": 5}]
        lines = [{"good": 4, "case": begin - 1}, *cases]
        journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return type("Done", (), {"returncode": -11 if begin == 0 else 0})

    monkeypatch.setattr(mutations.subprocess, "run", run)
    found = mutations.supervise({})
    assert begun == [0, 2]  # the case after the last that ended is the one that crashed
    assert found["findings"] == [{"case": 1, "finding": "the process ended with -11"}]
    assert found["counts"] == {"x": {"done": 2}}
