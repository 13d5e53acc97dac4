"""One stage ahead of another."""

import threading

import pytest
import torch

from icmhcodec.pipeline import jobs
from icmhcodec.pipeline.video.ahead import ahead, overlapped


def test_items_come_in_their_order():
    assert list(ahead(range(20), 3)) == list(range(20))


def test_errors_come_where_the_item_would():
    def source():
        yield 1
        raise ValueError("second")

    items = ahead(source(), 2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="second"):
        next(items)


@pytest.mark.parametrize(
    ("device", "cores", "threads", "beside"),
    [("cpu", 2, 2, False), ("cpu", 2, 1, True), ("cpu", 8, 8, True), ("cpu", 1, 1, False),
     ("cuda", 1, 1, True)],
)  # fmt: skip
def test_stages_overlap_where_a_core_is_left(device, cores, threads, beside, monkeypatch):
    monkeypatch.setattr(jobs, "cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    makers = []

    def source():
        makers.append(threading.current_thread())
        yield from range(3)

    assert list(overlapped(source(), 2, torch.device(device))) == [0, 1, 2]
    assert (makers[0] is not threading.current_thread()) == beside


def test_closing_ends_the_thread_and_the_source():
    closed = []

    def source():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    before = threading.active_count()
    items = ahead(source(), 2)
    assert next(items) == 0
    items.close()
    assert closed == [True]
    assert threading.active_count() == before
