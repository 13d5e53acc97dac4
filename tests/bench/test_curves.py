from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from icmhcodec.bench.contract import Observation
from icmhcodec.bench.curves import (
    choose_anchors,
    common_points,
    compare,
    envelope,
    interval,
    resample,
    split_name,
    trace,
)
from icmhcodec.errors import IcmhError, UsageError
from tests.bench import synthetic

PUBLISHED = Path(__file__).parents[3] / "shared" / "reference" / "kodak_published.json"
# x265 at two presets, from the readme of the bjontegaard package: kbit/s, PSNR
X265 = (
    np.array([9487.76, 4593.60, 2486.44, 1358.24]),
    np.array([40.037, 38.615, 36.845, 34.851]),
    np.array([9787.80, 4469.00, 2451.52, 1356.24]),
    np.array([40.121, 38.651, 36.970, 34.987]),
)


def cubic_mean(x: np.ndarray, y: np.ndarray, low: float, high: float) -> float:
    """Mean of the least-squares cubic over [low, high] (Bjontegaard, VCEG-M33, 2001)."""
    middle = x.mean()  # centred, the normal equations are well conditioned
    factors = np.linalg.lstsq(np.vander(x - middle, 4, increasing=True), y, rcond=None)[0]
    powers = np.arange(1, 5)
    ends = (high - middle) ** powers - (low - middle) ** powers
    return float((factors / powers * ends).sum() / (high - low))


def pchip_mean(x: np.ndarray, y: np.ndarray, low: float, high: float) -> float:
    """Mean of the piecewise cubic Hermite interpolant, as in the JCT-VC sheet (JCTVC-L1100)."""
    h, delta = np.diff(x), np.diff(y) / np.diff(x)
    slope = np.zeros(len(x))
    for k in range(1, len(x) - 1):
        if delta[k - 1] * delta[k] > 0:  # weighted harmonic mean (Fritsch and Butland, 1984)
            a, b = 2 * h[k] + h[k - 1], h[k] + 2 * h[k - 1]
            slope[k] = (a + b) / (a / delta[k - 1] + b / delta[k])
    ends = ((h[0], h[1], delta[0], delta[1]), (h[-1], h[-2], delta[-1], delta[-2]))
    for place, (h0, h1, d0, d1) in zip((0, -1), ends, strict=True):
        end = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
        if end * d0 <= 0:
            end = 0.0
        elif d0 * d1 <= 0 and abs(end) > 3 * abs(d0):
            end = 3 * d0
        slope[place] = end
    points, weights = np.polynomial.legendre.leggauss(2)  # exact for cubics
    total = 0.0
    for k in range(len(h)):
        a, b = max(low, x[k]), min(high, x[k + 1])
        if a >= b:
            continue
        t = ((a + b) / 2 + (b - a) / 2 * points - x[k]) / h[k]
        value = (
            y[k] * (1 + 2 * t) * (1 - t) ** 2 + h[k] * slope[k] * t * (1 - t) ** 2
            + y[k + 1] * t**2 * (3 - 2 * t) + h[k] * slope[k + 1] * t**2 * (t - 1)
        )  # fmt: skip
        total += float((weights * value).sum()) * (b - a) / 2
    return total / (high - low)


MEANS = {"cubic": cubic_mean, "pchip": pchip_mean}


def independent(
    bpp: np.ndarray, psnr: np.ndarray, anchor_bpp: np.ndarray, anchor_psnr: np.ndarray, method: str
) -> tuple[float, float]:
    """BD-rate in percent and BD-PSNR, without the package."""
    mean = MEANS[method]
    test, anchor = np.argsort(bpp), np.argsort(anchor_bpp)
    x, y = np.log10(bpp[test]), psnr[test]
    u, v = np.log10(anchor_bpp[anchor]), anchor_psnr[anchor]
    low, high = max(y[0], v[0]), min(y[-1], v[-1])
    rate = 100 * (10 ** (mean(y, x, low, high) - mean(v, u, low, high)) - 1)
    low, high = max(x[0], u[0]), min(x[-1], u[-1])
    return rate, mean(x, y, low, high) - mean(u, v, low, high)


@pytest.mark.parametrize("method", ["pchip", "cubic"])
def test_agrees_with_bjontegaards_forms_on_a_published_example(method: str) -> None:
    anchor_rate, anchor_psnr, rate, psnr = X265
    found = compare((rate, psnr), (anchor_rate, anchor_psnr), "psnr", method)
    wanted = independent(rate, psnr, anchor_rate, anchor_psnr, method)
    assert (found.rate, found.metric) == pytest.approx(wanted, rel=1e-6)
    assert found.rate == pytest.approx(-4.4 if method == "pchip" else -4.5, abs=0.4)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="needs ../shared/reference")
@pytest.mark.parametrize("method", ["pchip", "cubic"])
def test_agrees_with_bjontegaards_forms_on_published_kodak_curves(method: str) -> None:
    curves = json.loads(PUBLISHED.read_text())["curves"]
    names = ["jpeg", "webp", "av1", "hm", "vtm", "compressai-mbt2018-mean_mse_cpu"]
    points = {n: tuple(np.array(curves[n][key]) for key in ("bpp", "psnr-rgb")) for n in names}
    for name in names:
        for anchor in names:
            found = compare(points[name], points[anchor], "psnr", method)
            wanted = independent(*points[name], *points[anchor], method)
            assert "envelope" not in found.note
            assert (found.rate, found.metric) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="needs ../shared/reference")
def test_agrees_with_the_rates_published_with_the_curves() -> None:
    data = json.loads(PUBLISHED.read_text())
    jpeg, webp, vtm = (
        tuple(np.array(data["curves"][name][key]) for key in ("bpp", "psnr-rgb"))
        for name in ("jpeg", "webp", "vtm")
    )
    published = data["bd_rate_psnr_percent_akima"]
    assert compare(webp, jpeg, "psnr", "akima").rate == pytest.approx(
        published["jpeg"]["webp"], abs=0.01
    )
    assert compare(jpeg, vtm, "psnr", "akima").rate == pytest.approx(
        published["vtm"]["jpeg"], abs=0.01
    )


BPP = np.array([0.1, 0.2, 0.4, 0.8])
AP = np.array([20.0, 30.0, 36.0, 40.0])


def test_half_the_bits_are_minus_fifty_percent() -> None:
    found = compare((BPP / 2, AP), (BPP, AP), "AP50")
    assert found.rate == pytest.approx(-50)
    assert found.metric is not None
    assert found.metric > 0
    assert (found.overlap, found.note) == (1.0, "BD-metric: the curves share 67 % of the shorter "
        "range of bpp (0.05 to 0.4 and 0.1 to 0.8)")  # fmt: skip


def test_a_metric_that_is_better_when_lower() -> None:
    lpips = np.array([0.4, 0.3, 0.2, 0.1])
    found = compare((BPP / 2, lpips), (BPP, lpips), "lpips")
    assert found.rate == pytest.approx(-50)
    assert found.metric is not None
    assert found.metric < 0


def test_curves_without_overlap_give_no_number_and_say_why() -> None:
    found = compare((BPP, AP + 50), (BPP, AP), "AP50")
    assert found.rate is None
    assert found.overlap == 0
    assert "no BD-rate: the curves share no AP50 (70 to 90 and 20 to 40)" in found.note
    assert found.metric == pytest.approx(50)  # at equal bits they can be compared

    found = compare((BPP / 100, AP), (BPP, AP), "AP50")
    assert found.metric is None
    assert "no BD-metric: the curves share no bpp (0.001 to 0.008 and 0.1 to 0.8)" in found.note


def test_too_little_overlap_gives_no_number() -> None:
    found = compare((BPP, AP + 19), (BPP, AP), "AP50")
    assert found.rate is None
    assert found.overlap == pytest.approx(0.05)
    assert "5 % of the shorter range" in found.note


def test_fewer_than_three_points_give_no_number() -> None:
    found = compare((BPP, np.array([20.0, 19.0, 30.0, 29.0])), (BPP, AP), "AP50")
    assert (found.rate, found.metric, found.overlap) == (None, None, None)
    assert found.note == (
        "2 of 4 points of the curve form its upper envelope; "
        "no comparison: 3 points of each curve are needed"
    )


def test_the_envelope_keeps_what_is_better_than_all_that_costs_no_more() -> None:
    bpp = np.array([0.4, 0.1, 0.2, 0.2, 0.3, 0.5, 0.6])
    metric = np.array([35.0, 20.0, 30.0, 31.0, 29.0, np.inf, np.nan])
    assert envelope(bpp, metric).tolist() == [1, 3, 0]


def test_interpolation_runs_on_the_envelope_and_says_so() -> None:
    dented = compare((np.append(BPP, 0.3), np.append(AP, 10.0)), (BPP, AP), "AP50")
    assert dented.rate == pytest.approx(0, abs=1e-9)
    assert dented.note == "4 of 5 points of the curve form its upper envelope"


def observation(**changes: object) -> Observation:
    first = Observation(
        "a", "jpeg/plain/human", 5.0, 100, 50, 0.1, 0.1, 9.0, {"mse": 65.025, "ms_ssim": 0.9}, None
    )
    return replace(first, **changes)  # type: ignore[arg-type]


def test_bits_are_summed_and_psnr_is_averaged_over_pictures() -> None:
    pair = [
        observation(),
        observation(sample="b", pixels=300, bytes=10, human={"mse": 6.5025, "ms_ssim": 0.98}),
    ]
    found = trace(pair, resample(2, 0, 0), None)
    assert found.bpp.tolist() == [8 * 60 / 400]
    assert found.metrics["psnr"].tolist() == pytest.approx([35.0])
    assert found.metrics["ms_ssim"].tolist() == pytest.approx([0.94])
    assert found.metrics["ms_ssim_db"].tolist() == pytest.approx([-10 * np.log10(0.06)])


def test_metrics_of_the_pictures_that_have_them() -> None:
    pair = [observation(), observation(sample="b", human={"mse": 65.025})]
    assert trace(pair, resample(2, 0, 0), None).metrics["ms_ssim"].tolist() == pytest.approx([0.9])


def test_the_network_sums_up_each_set_of_pictures() -> None:
    seen = [
        observation(sample=s, task={"found": f, "same": 1.0})
        for s, f in zip("abc", (0.1, 0.4, 0.7), strict=True)
    ]
    ticks: list[int] = []
    found = trace(
        seen, np.array([[0, 1, 2], [2, 2, 2]]), synthetic.Network(), lambda: ticks.append(1)
    )
    assert found.metrics["AP50"].tolist() == pytest.approx([40, 70])
    assert next(iter(found.metrics)) == "AP50"
    assert len(ticks) == 2


def test_a_picture_that_is_missing_somewhere_is_left_out_everywhere() -> None:
    seen = [
        observation(sample=s, curve=c, point=p)
        for s in "abc"
        for c in ("x", "y")
        for p in (1.0, 2.0)
    ]
    seen.remove(observation(sample="b", curve="y", point=2.0))
    points = common_points(seen)
    assert {tuple(o.sample for o in kept) for kept in points.values()} == {("a", "c")}
    assert len(points) == 4


def test_no_common_picture_is_an_error() -> None:
    with pytest.raises(IcmhError, match="no picture"):
        common_points([observation(curve="x"), observation(sample="b", curve="y")])
    with pytest.raises(IcmhError, match="no picture"):
        common_points([])


def test_resamples_are_the_same_for_a_seed_and_begin_with_all_pictures() -> None:
    sets = resample(5, 3, 7)
    assert sets.shape == (4, 5)
    assert sets[0].tolist() == [0, 1, 2, 3, 4]
    assert (sets == resample(5, 3, 7)).all()
    assert (sets != resample(5, 3, 8)).any()


def test_intervals_hold_95_percent_and_need_enough_values() -> None:
    assert interval(np.arange(1001.0)) == (25.0, 975.0)
    assert interval([]) is None
    assert interval([1.0] * 8 + [None] * 2) is None
    assert interval([1.0] * 19 + [None]) == (1.0, 1.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    hits = 0
    for number in range(200):
        values = random.normal(10, 2, 60)
        low, high = interval(values[resample(60, 200, number)[1:]].mean(1)) or (0, 0)
        hits += low < 10 < high
    assert 0.88 < hits / 200 < 0.99


def test_names_and_anchors() -> None:
    assert split_name("simulcast:avif@416+icmh/simulcast/det") == (
        "simulcast:avif@416+icmh", "simulcast", "det",
    )  # fmt: skip
    assert split_name("original") == ("original", "plain", "human")
    curves = ["icmh/scalable/det", "jpeg@416/plain/det", "webp/plain/human", "jpeg/plain/human"]
    assert choose_anchors(curves, ()) == ["jpeg/plain/human", "jpeg@416/plain/det"]
    assert choose_anchors(curves[:1], ()) == curves[:1]
    assert choose_anchors(curves, ["icmh"]) == curves[:1]
    assert choose_anchors(curves, ["webp/plain/human", "icmh"]) == [curves[2], curves[0]]
    with pytest.raises(UsageError, match="heic"):
        choose_anchors(curves, ["heic"])
