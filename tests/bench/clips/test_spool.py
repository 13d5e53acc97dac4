from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from icmhcodec.bench.clips.spool import Spool
from icmhcodec.errors import IcmhError

from . import moving


def test_frames_come_back_as_often_as_wanted(tmp_path: Path) -> None:
    shown = moving.frames(4, 6, 5)
    spool = Spool(tmp_path / "raw", (frame for frame in shown))
    assert (spool.count, spool.shape, spool.pixels) == (4, (5, 6, 3), 120)
    for _ in range(2):
        assert all(map(np.array_equal, spool, shown))
    assert len(list(spool)) == 4


def test_frames_turned_in_memory_are_written_as_they_look(tmp_path: Path) -> None:
    turned = np.rot90(moving.frames(1, 6, 5)[0])
    assert np.array_equal(next(iter(Spool(tmp_path / "raw", [turned]))), turned)


def test_frames_of_several_sizes_or_none_are_refused(tmp_path: Path) -> None:
    mixed = moving.frames(1, 6, 5) + moving.frames(1, 5, 6)
    with pytest.raises(IcmhError, match=r"frame 1 is \(6, 5, 3\)"):
        Spool(tmp_path / "raw", mixed)
    with pytest.raises(IcmhError, match="no frames"):
        Spool(tmp_path / "raw", [])
