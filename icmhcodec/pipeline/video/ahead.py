"""Two stages of a stream at once: the first one works ahead of the second in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from contextlib import closing, suppress
from typing import TypeVar

import torch

from icmhcodec.pipeline import jobs

T = TypeVar("T")
_END = object()
_PATIENCE = 0.1  # seconds between looks at whether somebody still waits


def overlapped(items: Iterable[T], count: int, device: torch.device) -> Generator[T, None, None]:
    """The items, made ahead where that is faster than in turn; `device` is the networks'.

    Networks that take both of two cores lose 5 to 9 % to a thread that codes beside them.
    """
    cores = jobs.cores()
    room = device.type != "cpu" or cores > 2 or torch.get_num_threads() < cores
    return ahead(items, count) if room else _generator(items)


def ahead(items: Iterable[T], count: int) -> Generator[T, None, None]:
    """The items, of which up to `count` are made before they are asked for.

    They are made in one thread, in their order; what it raises comes where the item would. Closing
    the generator ends the thread.
    """
    ready: queue.Queue[object] = queue.Queue(count)
    stopped = threading.Event()
    failed: list[BaseException] = []

    def put(item: object) -> bool:
        while not stopped.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=_PATIENCE)
                return True
        return False

    def work() -> None:
        try:
            with closing(_generator(items)) as source:
                for item in source:
                    if not put(item):
                        return
        except BaseException as error:  # whatever it is, the other thread raises it
            failed.append(error)
        put(_END)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not _END:
            yield item  # type: ignore[misc]
        if failed:
            raise failed[0]
    finally:
        stopped.set()
        thread.join()


def _generator(items: Iterable[T]) -> Generator[T, None, None]:
    yield from items
