from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from icmhcodec.bench import cache
from icmhcodec.bench.cache import FILE, Cache
from icmhcodec.errors import IcmhError


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Cache]:
    with closing(Cache(tmp_path)) as kept:
        yield kept


def test_what_was_put_is_got(kept: Cache, tmp_path: Path) -> None:
    kept.put("a", "1")
    kept.put("b", "2")
    kept.put("a", "3")
    assert [kept.get(name) for name in "abc"] == ["3", "2", None]
    with closing(Cache(tmp_path)) as another:
        assert another.get("a") == "3"


def test_keys_hold_all_settings_in_any_order() -> None:
    one = cache.key({"picture": "x", "point": 1.0, "codec": {"a": "1", "b": "2"}})
    assert one == cache.key({"codec": {"b": "2", "a": "1"}, "point": 1.0, "picture": "x"})
    assert one != cache.key({"picture": "x", "point": 2.0, "codec": {"a": "1", "b": "2"}})
    assert one != cache.key({"picture": "x", "point": 1.0, "codec": {"a": "1", "b": "3"}})


def test_the_environment_moves_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ICMH_CACHE", str(tmp_path))
    assert cache.default_folder() == tmp_path / "bench"


def write(folder: Path, first: int) -> None:
    with closing(Cache(folder)) as kept:
        for number in range(first, first + 50):
            kept.put(str(number), f"value {number}")


def test_processes_write_side_by_side(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(tmp_path, 50 * k)) for k in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    with closing(Cache(tmp_path)) as kept:
        assert all(kept.get(str(number)) == f"value {number}" for number in range(100))


@given(st.binary(min_size=1, max_size=300), st.integers(0, 9000))
@example(b"\x09", 18)  # a version that SQLite only reads
@example(b"\x09", 19)  # one that it does not know
@example(b"\x00", 47)  # another format of the schema
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_file_costs_results_only(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    with closing(Cache(folder)) as kept:
        for number in range(100):
            kept.put(str(number), f"value {number}")
    path = folder / FILE
    data = bytearray(path.read_bytes())
    data[place : place + len(noise)] = noise
    path.write_bytes(data)
    with closing(Cache(folder)) as kept:
        for number in range(100):
            kept.get(str(number))
        for _ in range(2):  # the first time may be what finds the damage
            kept.put("new", "new")
            found = kept.get("new")
        assert found == "new"


def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("no database, but some text" * 100)
    with closing(Cache(tmp_path)) as kept:
        kept.put("a", "1")
        assert kept.get("a") == "1"
    assert (tmp_path / f"{FILE}.damaged").read_text().startswith("no database")


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IcmhError, match="--no-cache"):
        Cache(tmp_path / "file" / "folder")
    (tmp_path / FILE).mkdir()
    with pytest.raises(IcmhError, match=FILE):
        Cache(tmp_path)


def test_a_lock_that_stays_is_an_error_not_damage(
    kept: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_WAIT_S", 0.0)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with closing(Cache(tmp_path)) as waiting, pytest.raises(IcmhError, match="locked"):
            waiting.put("a", "1")
    kept.put("a", "1")
    assert kept.get("a") == "1"
