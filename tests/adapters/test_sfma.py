import pytest
import torch

from icmhcodec.adapters.sfma import SFMA, export_stages, load_stages, stage_adapters
from icmhcodec.errors import FormatError


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _filled(module: torch.nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.05)


@pytest.mark.parametrize(
    ("width", "total"), [(1, 5_622), (32, 138_240), (64, 287_232), (128, 622_080)]
)
def test_six_adapters_have_the_published_number_of_parameters(width: int, total: int) -> None:
    assert _count(stage_adapters([128] * 6, width)) == total


def test_the_branches_have_the_published_numbers_of_parameters() -> None:
    adapter = SFMA(128, 64)
    assert _count(adapter) == 47_872
    assert 6 * _count(adapter.sma) == 158_976
    assert 6 * _count(adapter.fma) == 128_256


@pytest.mark.parametrize("window", [0, 16])
def test_an_untrained_adapter_changes_nothing(window: int) -> None:
    x = torch.randn(2, 8, 24, 40)
    assert torch.equal(SFMA(8, 4, window)(x), x)


def test_the_frequency_branch_keeps_phases_and_scales_amplitudes() -> None:
    fma = SFMA(6, 4, 0).fma
    _filled(fma)
    features = torch.randn(1, 4, 16, 16)
    before = torch.fft.rfft2(features)
    after = torch.fft.rfft2(fma._modulate(features, "backward"))
    ratio = after / before
    # DC and Nyquist columns are symmetric; a real gate is what irfft2 keeps elsewhere.
    inner = ratio[..., 1:-1]
    assert inner.imag.abs().max() < 1e-3
    assert ((inner.real > 0) & (inner.real < 1)).all()


def test_a_window_sees_nothing_of_the_others() -> None:
    fma = SFMA(6, 4, 8).fma
    _filled(fma)
    x = torch.randn(1, 6, 16, 24)
    changed = x.clone()
    changed[..., 8:, 16:] += 1
    difference = (fma(x) - fma(changed)).abs().amax((0, 1))
    assert difference[:8].max() == 0
    assert difference[:, :16].max() == 0
    assert difference[8:, 16:].min() > 0


def test_a_picture_of_one_window_is_not_affected_by_its_padding_rule() -> None:
    adapter = SFMA(6, 4, 8)
    _filled(adapter)
    assert adapter(torch.randn(1, 6, 5, 11)).shape == (1, 6, 5, 11)


def test_exported_stages_come_back_as_float16() -> None:
    first, _, last = stages = [SFMA(6, 4, 8), None, SFMA(8, 4, 8)]
    assert first
    assert last
    _filled(first, 1)
    _filled(last, 2)
    tensors = export_stages({"decoder": stages})
    assert load_stages(tensors, "encoder", 3) == [None, None, None]
    loaded = load_stages(tensors, "decoder", 3)
    assert loaded[1] is None
    for before, after in ((first, loaded[0]), (last, loaded[2])):
        assert after is not None
        for name, tensor in before.half().float().state_dict().items():
            assert torch.equal(after.state_dict()[name], tensor)


def test_tensors_of_something_else_are_refused() -> None:
    with pytest.raises(FormatError, match="adapter"):
        load_stages({"decoder.0.weight": torch.zeros(3), "window": torch.tensor([8])}, "decoder", 3)
    good = export_stages({"decoder": [SFMA(6, 4)]})
    with pytest.raises(FormatError, match="adapter"):
        load_stages({k: v for k, v in good.items() if k != "window"}, "decoder", 1)


@torch.no_grad()
@pytest.mark.parametrize("span", [(0, 5), (3, 11), (8, 16), (15, 24), (23, 24)])
def test_a_part_that_reaches_whole_windows_gives_the_same_features(span: tuple[int, int]) -> None:
    adapter = SFMA(6, 4, 8)
    _filled(adapter)
    x = torch.randn(1, 6, 24, 21)
    first, last = (min(max(end, 0), 24) for end in adapter.step.needed(span))
    part = adapter(x[:, :, first:last], (first, 0))[:, :, span[0] - first : span[1] - first]
    torch.testing.assert_close(part, adapter(x)[:, :, span[0] : span[1]])


def test_an_unwindowed_adapter_needs_everything() -> None:
    first, last = SFMA(6, 4, 0).step.needed((3, 4))
    assert first < 0
    assert last >= 1 << 24
