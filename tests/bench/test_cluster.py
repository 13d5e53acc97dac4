"""On a local Ray of two workers, started once for all tests: it takes seconds."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from icmhcodec.bench import cluster, engine
from icmhcodec.bench.contract import Observation
from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.pipeline.jobs import Work

from . import fakes

# Ray's own code warns, and it leaves files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore")

SERVER = """
import sys, ray
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
print("address", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    if not find_spec("ray"):
        pytest.skip("Ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Only who has the token may use this cluster; Ray reads it when it is imported.
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield from serve()


def serve() -> Iterator[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        lines = (line.split() for line in server.stdout)
        yield next(words[1] for words in lines if words[:1] == ["address"])
        assert server.stdin is not None
        server.stdin.close()


def untimed(observations: Iterable[Observation]) -> list[Observation]:
    return [replace(one, encode_s=0, decode_s=0, peak_mb=0) for one in observations]


def test_the_rows_are_those_of_a_local_run(address: str, tmp_path: Path) -> None:
    samples = fakes.samples(tmp_path, 5)
    samples[2].path.write_text("no picture")
    bench = fakes.two_codecs()
    start = partial(engine.start, fakes.two_codecs, bench.identity())
    spread = partial(cluster.run, start=start, address=address)
    rows, failures = engine.run(bench, samples, spread=spread)
    local_rows, local_failures = engine.run(fakes.two_codecs(), samples)
    assert untimed(rows) == untimed(local_rows)
    assert failures == local_failures
    assert len(failures) == 1
    assert [codec.calls for codec in bench.codecs.values()] == [[], []]  # type: ignore[attr-defined]


def deadly(folder: Path) -> Work[int, str]:
    """Task 1 always kills its worker, task 2 once."""

    def work(task: int) -> Iterator[str]:
        yield f"{task}a"
        file = folder / str(task)
        if task == 1 or (task == 2 and not file.exists()):
            file.touch()
            os._exit(3)
        yield f"{task}b"

    return work


def test_a_worker_that_dies_is_replaced(address: str, tmp_path: Path) -> None:
    found = list(cluster.run(range(5), partial(deadly, tmp_path), address=address, jobs=2))
    good = {result for _, result in found if isinstance(result, str)}
    # What task 1 gave before it died may or may not have come.
    assert good | {"1a"} == {f"{task}{letter}" for task in range(5) for letter in "ab"} - {"1b"}
    [(task, error)] = [(task, result) for task, result in found if isinstance(result, Exception)]
    assert task == 1
    assert "ended unexpectedly" in str(error)


def not_starting() -> Work[int, str]:
    raise MissingWeightsError("no weights")


def failing() -> Work[int, str]:
    def work(task: int) -> Iterator[str]:
        raise MissingWeightsError(f"{task} is bad")
        yield ""

    return work


def test_exceptions_keep_their_class(address: str) -> None:
    with pytest.raises(MissingWeightsError, match=r"^no weights$"):
        list(cluster.run(range(3), not_starting, address=address))
    [(_, error)] = cluster.run([7], failing, address=address)
    assert isinstance(error, MissingWeightsError)
    assert str(error) == "7 is bad"


def test_a_gpu_must_be_there(address: str) -> None:
    with pytest.raises(UsageError, match="no GPU"):
        list(cluster.run([1], failing, address=address, gpu=True))


@pytest.mark.parametrize("elsewhere", ["ray://127.0.0.1:10001", "auto"])
def test_no_cluster_is_a_clear_error(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    import ray

    def nowhere(*args: object, **kwargs: object) -> None:
        raise ConnectionError("could not find any running Ray instance")

    monkeypatch.setattr(ray, "init", nowhere)
    with pytest.raises(UsageError, match="--ray"):
        list(cluster.run([1], failing, address=elsewhere))


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"icmhcodec\[ray\]"):
        list(cluster.run([1], failing, address="auto"))


class FakeRay:
    """A cluster of which only resources matter: what its workers ask for."""

    def __init__(self, cores: float, gpus: float) -> None:
        self.resources = {"CPU": cores, "GPU": gpus}
        self.asked: list[dict[str, float]] = []

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def remote(self, worker: object) -> FakeRay:
        return self

    def options(self, **options: float) -> FakeActor:
        self.asked.append(options)
        return FakeActor()

    def get(self, results: object) -> None:
        pass

    exceptions = SimpleNamespace(RayTaskError=KeyError, RayError=KeyError)


class FakeActor:
    def remote(self, *_: object) -> FakeActor:
        return self

    @property
    def ready(self) -> FakeActor:
        return self


@pytest.mark.parametrize(("gpus", "number"), [(1, 1), (1, 6), (4, 6), (4, 4), (4, 9), (8, 3)])
def test_workers_find_room_on_whole_gpus(gpus: int, number: int) -> None:
    ray = FakeRay(16, gpus)
    actors = cluster._actors(ray, lambda: None, number, gpu=True)  # type: ignore[arg-type]
    [asked] = ray.asked
    share = asked["num_gpus"]
    assert len(actors) == number
    assert share <= 1
    assert gpus * int(1 / share + 1e-9) >= number  # as many as fit on each
