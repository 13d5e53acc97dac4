import pytest
import torch

from icmhcodec.adapters.sfma import SFMA, FMAThenSMA, SMAThenFMA, TwoSMA

from .fill import fill


def test_a_picture_of_one_window_is_not_affected_by_its_padding_rule() -> None:
    assert fill(SFMA(6, 4, 8))(torch.randn(1, 6, 5, 11)).shape == (1, 6, 5, 11)


def test_the_branches_are_in_parallel_or_one_after_the_other() -> None:
    x = torch.randn(1, 6, 16, 16)
    parallel = fill(SFMA(6, 4, 8))
    fma, sma = parallel.fma, parallel.sma
    torch.testing.assert_close(parallel(x), x + fma(x) + sma(x))
    first, second = FMAThenSMA(6, 4, 8), SMAThenFMA(6, 4, 8)
    for adapter in (first, second):
        adapter.load_state_dict(parallel.state_dict())
    torch.testing.assert_close(first(x), x + fma(x) + sma(x + fma(x)))
    torch.testing.assert_close(second(x), x + sma(x) + fma(x + sma(x)))
    assert not torch.allclose(first(x), second(x))


def test_two_spatial_branches_differ() -> None:
    adapter, x = fill(TwoSMA(6, 4)), torch.randn(1, 6, 8, 8)
    torch.testing.assert_close(adapter(x), x + adapter.sma(x) + adapter.second(x))
    assert not torch.allclose(adapter.sma(x), adapter.second(x))


def test_features_are_computed_in_the_weights_type() -> None:
    x = torch.randn(1, 6, 8, 8).bfloat16()
    assert SFMA(6, 4, 8)(x).dtype == torch.float32


@pytest.mark.parametrize("window", [0, 16])
def test_an_untrained_adapter_changes_nothing(window: int) -> None:
    x = torch.randn(2, 8, 24, 40)
    assert torch.equal(SFMA(8, 4, window)(x), x)
