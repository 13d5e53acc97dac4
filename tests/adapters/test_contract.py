import pytest

from icmhcodec.adapters.contract import Adapter
from icmhcodec.adapters.naive import Naive
from icmhcodec.adapters.sfma import FMA, SFMA, SMA, FMAThenSMA, SMAThenFMA


@pytest.mark.parametrize(
    ("kind", "span"),
    [
        (Naive, (9, 15)),
        (SMA, (7, 17)),
        (FMA, (8, 16)),
        (SFMA, (7, 17)),
        (FMAThenSMA, (0, 24)),
        (SMAThenFMA, (6, 18)),
    ],
)
def test_a_part_needs_squares_and_what_the_spatial_branch_sees(
    kind: type[Adapter], span: tuple[int, int]
) -> None:
    assert kind(4, 2, 8).step.needed((9, 15)) == span


def test_without_squares_a_spectrum_needs_everything() -> None:
    for kind in (SFMA, FMA, FMAThenSMA, SMAThenFMA):
        first, last = kind(6, 4, 0).step.needed((3, 4))
        assert first < 0
        assert last >= 1 << 24
    assert SMA(6, 4, 0).step.needed((3, 4)) == (1, 6)
