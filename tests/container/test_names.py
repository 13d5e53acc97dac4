import pytest

from icmhcodec.container.names import (
    BUNDLES,
    CODECS,
    TASKS,
    names_by_code,
    valid_name,
    version_of,
)


@pytest.mark.parametrize("name", ["a", "det", "mbt2018-mean-q3", "a.b.c", "x" * 64, "a-", "a."])
def test_valid_names(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize(
    "name", ["", "1a", ".a", "-a", "A", "a..b", "a/b", "a_b", "é", "a\n", "x" * 65, "a b"]
)
def test_invalid_names(name: str) -> None:
    assert not valid_name(name)


def test_names_with_codes_are_valid_and_differ() -> None:
    for table in (CODECS, BUNDLES, TASKS):
        assert list(table) == sorted(table)
        names = names_by_code(table, max(table))
        assert names[0] == ""
        assert all(valid_name(name) for name in names[1:])
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("version", [(0, 1), (1, 0)])
def test_codes_of_version_1_0(version: tuple[int, int]) -> None:
    codecs, bundles, tasks = (names_by_code(t, version) for t in (CODECS, BUNDLES, TASKS))
    assert codecs[1:] == (
        "mbt2018-mean-gain-0",
        "test-tiny",
        "mbt2018-mean",
        "bmshj2018-hyperprior",
    )
    assert bundles[1:] == ("det-0",)
    assert tasks[1:] == ("human", "cls", "det", "seg")


@pytest.mark.parametrize("version", [(1, 1), (1, 7)])
def test_codes_of_version_1_1(version: tuple[int, int]) -> None:
    codecs, bundles, tasks = (names_by_code(t, version) for t in (CODECS, BUNDLES, TASKS))
    assert codecs[5:] == ("mbt2018-mean-gain-1", "dvc-1", "fvc-1")
    assert bundles[2:] == ("det-1", "cls-1", "seg-1")
    assert tasks == names_by_code(TASKS, (1, 0))
    assert version_of(CODECS, "fvc-1") == version_of(BUNDLES, "det-1") == (1, 1)
    assert version_of(CODECS, "test-tiny") == version_of(CODECS, "det-1") == (1, 0)
