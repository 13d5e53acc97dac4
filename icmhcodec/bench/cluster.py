"""The work of `pipeline.jobs` on a Ray cluster."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, TypeVar

from icmhcodec.errors import IcmhError, UsageError
from icmhcodec.pipeline.jobs import Work, attempt, portable

T = TypeVar("T")
R = TypeVar("R")


def run(
    tasks: Sequence[T],
    start: Callable[[], Work[T, R]],
    *,
    address: str,
    jobs: int | None = None,
    gpu: bool = False,
) -> Generator[tuple[T, R | Exception], None, None]:
    """Results of tasks as they come, as `pipeline.jobs.run` gives them.

    `address` is a Ray cluster's, "auto" that of this machine, "local" a new one for this run alone.
    There are `jobs` workers of one core each, at most and by default as many as the cluster has
    cores; with `gpu` they share its GPUs. The same software and weights, and the data set under
    the same path, must be on every node. Errors: UsageError without Ray, cluster or GPU; those of
    `start`.
    """
    ray = _connect(address, jobs)
    try:
        actors = _actors(ray, start, min(jobs or len(tasks), len(tasks)), gpu)
        yield from _results(ray, actors, iter(tasks))
    finally:
        ray.shutdown()


def _connect(address: str, jobs: int | None) -> Any:
    try:
        ray = import_module("ray")
    except ImportError:
        raise UsageError(
            "--ray needs Ray, which is not installed; pip install 'icmhcodec[ray]'"
        ) from None
    if address.startswith("ray://"):
        raise UsageError(f"--ray {address}: run on a node of the cluster, with --ray auto")
    os.environ.setdefault(
        "RAY_USAGE_STATS_ENABLED", "0"
    )  # a new cluster would report to Ray's makers
    new: dict[str, Any] = (
        {"num_cpus": jobs, "include_dashboard": False} if address == "local" else {}
    )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", **new)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise UsageError(f"--ray {address}: no Ray cluster there: {error}") from error
    return ray


class _Worker:
    """The actor: what `start` gives, in a process of its own."""

    def __init__(self, start: Callable[[], Work[Any, Any]]) -> None:
        self._start = start

    def ready(self) -> None:
        """Load networks; here, where an exception keeps its class."""
        self._work = self._start()

    def work(self, task: Any) -> Iterator[object]:
        """Do a task; Ray gives it once more to a worker that was started anew."""
        if not hasattr(self, "_work"):
            self.ready()
        yield from portable(attempt(self._work, task))


def _actors(ray: Any, start: Callable[[], Work[T, R]], number: int, gpu: bool) -> list[Any]:
    """Workers that are ready."""
    resources = ray.cluster_resources()
    number = max(1, min(number, int(resources.get("CPU", 1))))
    options: dict[str, Any] = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": 1}
    if gpu:
        if not resources.get("GPU"):
            raise UsageError("--device cuda: the Ray cluster has no GPU")
        options["num_gpus"] = 1 / math.ceil(number / int(resources["GPU"]))  # whole ones each
    actor = ray.remote(_Worker).options(**options)
    actors = [actor.remote(start) for _ in range(number)]
    try:
        ray.get([actor.ready.remote() for actor in actors])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise IcmhError(f"a Ray worker ended before it was ready: {_line(error)}") from error
    return actors


def _results(ray: Any, actors: Iterable[Any], tasks: Iterator[T]) -> Iterator[tuple[T, Any]]:
    busy: dict[Any, tuple[Any, T]] = {}

    def employ(actor: Any) -> None:
        for task in tasks:
            busy[actor.work.options(num_returns="streaming").remote(task)] = actor, task
            return

    for actor in actors:
        employ(actor)
    while busy:
        [stream], _ = ray.wait(list(busy), num_returns=1)
        actor, task = busy[stream]
        try:
            yield task, ray.get(next(stream))
            continue
        except StopIteration:
            pass
        except ray.exceptions.RayError as error:
            message = f"its Ray worker ended unexpectedly, twice: {_line(error)}"
            yield task, IcmhError(message)
        del busy[stream]
        employ(actor)


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
