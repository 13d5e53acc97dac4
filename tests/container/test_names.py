import pytest

from icmhcodec.container.names import BUNDLES, CODECS, TASKS, valid_name


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
        assert table[0] == ""
        assert all(valid_name(name) for name in table[1:])
        assert len(set(table)) == len(table)


def test_codes_are_those_of_the_format() -> None:
    assert CODECS[1:] == (
        "mbt2018-mean-gain-0",
        "test-tiny",
        "mbt2018-mean",
        "bmshj2018-hyperprior",
    )
    assert BUNDLES[1:] == ("det-0",)
    assert TASKS[1:] == ("human", "cls", "det", "seg")
