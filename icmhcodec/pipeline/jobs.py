"""Work on many inputs in several processes: none is waited for in vain, none is left behind."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from multiprocessing import connection, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

from icmhcodec.errors import IcmhError

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[T], Iterable[R]]

# A forked process would inherit torch's locks, and a GPU cannot be used in it at all.
_SPAWN = get_context("spawn")


class _Says(Enum):
    """What a message of a worker is about."""

    READY = 0
    FAILED = 1  # to start
    RESULT = 2
    DONE = 3


def run(
    tasks: Iterable[T],
    start: Callable[[], Work[T, R]],
    *,
    jobs: int = 1,
    threads: int | None = None,
) -> Generator[tuple[T, R | Exception], None, None]:
    """Results of tasks as they come, each with its task; an exception ends that task alone.

    Each worker calls `start` once, where networks are loaded, and what that gives once per task;
    both and the tasks must pickle if `jobs` > 1. With one job all runs in this process. Else a
    worker has `threads` threads (default: its share of the cores). Tasks are begun in their order;
    one whose worker was killed is begun once more, and its results come again. Closing the
    iterator ends the workers, and so does the end of this process, whatever its reason.

    Errors: those of `start`; IcmhError where a worker is killed before it is ready.
    """
    if jobs == 1:
        work = start()
        for task in tasks:
            yield from ((task, result) for result in attempt(work, task))
        return
    pool = _Pool(tasks, start, jobs, threads or max(1, cores() // jobs))
    try:
        yield from pool.results()
    finally:
        pool.close()


def attempt(work: Work[T, R], task: T) -> Iterator[R | Exception]:
    """What `work` gives for a task, and the exception that ends it, if one does."""
    try:
        yield from work(task)
    except Exception as error:
        yield error


def portable(results: Iterable[R | Exception]) -> Iterator[object]:
    """The same, but exceptions such that they survive pickling, with their tracebacks."""
    for result in results:
        yield _Carried(result) if isinstance(result, Exception) else result


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


class _Worker(Generic[T, R]):
    """A process, this end of the pipe to it, and the task that it has, for which time."""

    def __init__(self, start: Callable[[], Work[T, R]], threads: int) -> None:
        self.link, other_end = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(other_end, start), daemon=True)
        with _environment(threads), _without_interrupts():
            self.process.start()
        other_end.close()  # so that the worker's death is seen as the end of the pipe
        self.ready = False

    def give(self, task: T, time: int) -> None:
        """Hand over a task; a worker that died meanwhile is noticed when it is listened to."""
        self.task, self.time = task, time
        with suppress(OSError):
            self.link.send(task)

    def end(self) -> None:
        """Kill it, with the programs it has started: what it could still do is not wanted."""
        assert self.process.pid is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()  # it may not have a group of its own yet
        self.process.join()
        self.link.close()


class _Pool(Generic[T, R]):
    """Workers, and the tasks that none of them has yet."""

    def __init__(
        self, tasks: Iterable[T], start: Callable[[], Work[T, R]], jobs: int, threads: int
    ) -> None:
        self._tasks, self._again = iter(tasks), deque[T]()
        self._start, self._jobs, self._threads = start, jobs, threads
        self._workers: dict[Connection, _Worker[T, R]] = {}

    def results(self) -> Iterator[tuple[T, R | Exception]]:
        while len(self._workers) < self._jobs and self._employ():
            pass
        while self._workers:
            for link in connection.wait(list(self._workers)):
                assert isinstance(link, Connection)
                yield from self._listen(self._workers[link])

    def close(self) -> None:
        for worker in self._workers.values():
            worker.end()

    def _employ(self, worker: _Worker[T, R] | None = None) -> bool:
        """Give the next task to a worker, by default a new one; False where none is left."""
        time = 2 if self._again else 1
        try:
            task = self._again.popleft() if self._again else next(self._tasks)
        except StopIteration:
            return False
        if worker is None:
            worker = _Worker(self._start, self._threads)
            self._workers[worker.link] = worker
        worker.give(task, time)
        return True

    def _listen(self, worker: _Worker[T, R]) -> Iterator[tuple[T, R | Exception]]:
        try:
            says, value = worker.link.recv()
        except (EOFError, OSError):
            yield from self._replace(worker)
            return
        if says is _Says.READY:
            worker.ready = True
        elif says is _Says.RESULT:
            yield worker.task, value
        elif says is _Says.FAILED:
            raise value
        elif not self._employ(worker):
            self._dismiss(worker)

    def _replace(self, worker: _Worker[T, R]) -> Iterator[tuple[T, R | Exception]]:
        """Let another one go on where a worker was killed."""
        self._dismiss(worker)
        end = f"ended unexpectedly (exit code {worker.process.exitcode}); is memory short?"
        if not worker.ready:
            raise IcmhError(f"a worker process {end} Try fewer --jobs")
        if worker.time == 1:
            self._again.append(worker.task)
        else:
            yield worker.task, IcmhError(f"its worker process {end} Tried twice; try fewer --jobs")
        self._employ()

    def _dismiss(self, worker: _Worker[T, R]) -> None:
        del self._workers[worker.link]
        worker.end()


def _serve(link: Connection, start: Callable[[], Work[T, R]]) -> None:
    """Do what comes through the pipe, until it or the process at its other end ends."""
    # A group of its own: Ctrl-C goes to the parent alone, and programs started here end with it.
    os.setpgid(0, 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = start()
    except Exception as error:
        link.send((_Says.FAILED, _Carried(error)))
        return
    link.send((_Says.READY, None))
    with suppress(EOFError, OSError):  # the other end is gone
        while True:
            for result in portable(attempt(work, link.recv())):
                link.send((_Says.RESULT, result))
            link.send((_Says.DONE, None))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)


class _WorkerError(Exception):
    """The traceback of an exception in a worker, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Carried:
    """An exception that is pickled: what comes of it is the exception, caused by the text."""

    def __init__(self, error: Exception) -> None:
        self._text = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # whatever the class's own constructor makes of its arguments
            error = RuntimeError(f"{type(error).__name__}: {error}")
        self._error = error

    def __reduce__(self) -> tuple[Callable[..., Exception], tuple[Exception, str]]:
        return _restored, (self._error, self._text)


def _restored(error: Exception, text: str) -> Exception:
    error.__cause__ = _WorkerError(text)
    return error


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Let processes that start meanwhile have so many threads, which sleep while they wait."""
    settings = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes that start meanwhile never see Ctrl-C: this one, which does, ends them."""
    resource_tracker.ensure_running()  # its start would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
