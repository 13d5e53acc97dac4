"""One stage ahead of another."""

import threading

import pytest

from icmhcodec.pipeline.video.ahead import ahead


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
