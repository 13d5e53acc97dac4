import math

from hypothesis import given
from hypothesis import strategies as st

from icmhcodec.pipeline.search import HIGHEST, SLACK, largest_near, largest_within


@given(st.integers(1, 5000), st.floats(0.2, 4), st.integers(1, 400_000))
def test_the_highest_quality_within_a_size_is_found(start: int, growth: float, target: int) -> None:
    tried = []

    def encode(quality: int) -> tuple[int, int]:
        tried.append(quality)
        return round(start * math.exp(growth * quality / HIGHEST)), quality

    quality, met = largest_within(encode, target)
    assert len(tried) <= 14
    assert met == (start <= target)
    if met:
        assert encode(quality)[0] <= target
        # Sizes stand still for several qualities when the target is small.
        assert quality == HIGHEST or encode(min(quality + 8, HIGHEST))[0] >= target
    else:
        assert quality == 0


@given(
    st.integers(1000, 50_000), st.floats(2, 5), st.integers(500, 4_000_000), st.integers(0, HIGHEST)
)
def test_a_guess_takes_few_tries(start: int, growth: float, target: int, guess: int) -> None:
    tried = []

    def encode(quality: int) -> tuple[int, int]:
        tried.append(quality)
        return round(start * math.exp(growth * quality / HIGHEST)), quality

    quality, met = largest_near(encode, target, guess)
    assert len(tried) <= 9
    assert met == (start <= target)
    size = encode(quality)[0]
    assert not met or size <= target
    if met and quality < HIGHEST:
        assert size >= (1 - SLACK) * target or encode(quality + 1)[0] > target
    if not met:
        assert quality == 0
