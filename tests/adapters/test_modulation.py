import torch

from icmhcodec.adapters.modulation import FrequencyModulation, SpatialModulation

from .fill import fill


def test_the_frequency_branch_keeps_phases_and_scales_amplitudes() -> None:
    fma = fill(FrequencyModulation(6, 4, 0))
    features = torch.randn(1, 4, 16, 16)
    before = torch.fft.rfft2(features)
    after = torch.fft.rfft2(fma._modulate(features, "backward"))
    ratio = after / before
    # DC and Nyquist columns are symmetric; a real gate is what irfft2 keeps elsewhere.
    inner = ratio[..., 1:-1]
    assert inner.imag.abs().max() < 1e-3
    assert ((inner.real > 0) & (inner.real < 1)).all()


def test_a_window_sees_nothing_of_the_others() -> None:
    fma = fill(FrequencyModulation(6, 4, 8))
    x = torch.randn(1, 6, 16, 24)
    changed = x.clone()
    changed[..., 8:, 16:] += 1
    difference = (fma(x) - fma(changed)).abs().amax((0, 1))
    assert difference[:8].max() == 0
    assert difference[:, :16].max() == 0
    assert difference[8:, 16:].min() > 0


def test_an_orthonormal_spectrum_does_not_know_the_pictures_size() -> None:
    fma, x = fill(FrequencyModulation(6, 4, 8)), torch.randn(1, 6, 8, 8)
    torch.testing.assert_close(fma(x.repeat(1, 1, 3, 2)), fma(x).repeat(1, 1, 3, 2))
    whole = fill(FrequencyModulation(6, 4, 0))
    assert not torch.allclose(whole(x.repeat(1, 1, 3, 2)), whole(x).repeat(1, 1, 3, 2), rtol=1e-3)


def test_an_untrained_branch_corrects_nothing() -> None:
    x = torch.randn(1, 6, 9, 11)
    assert not FrequencyModulation(6, 4)(x).any()
    assert not SpatialModulation(6, 4)(x).any()
