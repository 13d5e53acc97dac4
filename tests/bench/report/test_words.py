from __future__ import annotations

from typing import Any

import pytest

from icmhcodec.bench.report.words import (
    amount,
    compared,
    headline,
    label,
    main_metric,
    metric_names,
    notes,
    number,
    percent,
    ranking,
    seconds,
    speed,
)


def with_rates(report: dict[str, Any], **rates: Any) -> dict[str, Any]:
    """The report with other BD-rates to the first anchor: by codec a rate, or it and its range."""
    found = []
    for old in report["bd"]:
        rate = rates.get(old["codec"].split("@")[0], old["bd_rate_percent"])
        value, *ci95 = rate if isinstance(rate, tuple) else (rate,)
        found.append(old | {"bd_rate_percent": value, "ci95": ci95 or None})
    return report | {"bd": found}


@pytest.mark.parametrize(
    ("curve", "short"),
    [
        ("original", "original"),
        ("jpeg/plain/human", "jpeg"),
        ("avif@416/plain/det", "avif@416"),
        ("icmh/scalable/det", "icmh scalable det"),
        ("icmh/scalable/human", "icmh scalable human"),
        ("icmh:x/plain/human", "icmh:x"),
        ("simulcast:avif@416+icmh/simulcast/det", "simulcast:avif@416+icmh det"),
    ],
)
def test_labels(curve: str, short: str) -> None:
    assert label(curve) == short


def test_numbers() -> None:
    assert percent(-12.34) == "\N{MINUS SIGN}12.3 %"
    assert percent(None) == "\N{EN DASH}"
    assert number("ms_ssim", 0.98765) == "0.9877"
    assert number("AP50", None) == "\N{EN DASH}"
    assert [seconds(v) for v in (0.0123, 0.0999, 1.5)] == ["12 ms", "0.10 s", "1.50 s"]


def test_the_networks_metric_comes_first(report: dict[str, Any]) -> None:
    assert main_metric(report) == "AP50"
    assert metric_names(report) == ["AP50", "agreement", "psnr", "ms_ssim", "ms_ssim_db", "lpips"]


def test_ranking_begins_with_the_fewest_bits(report: dict[str, Any]) -> None:
    changed = with_rates(report, icmh=(-60, -70, -50), avif=(-20, -30, -10))
    names = [name for name, _ in ranking(changed)]
    assert names[:2] == ["icmh/plain/human", "icmh/scalable/det"]
    assert names[-1] == "jpeg/plain/human"
    assert dict(ranking(changed))["jpeg/plain/human"] == ""


def test_pictures_for_machines_are_not_compared_by_what_people_see(report: dict[str, Any]) -> None:
    assert compared(report, "psnr")[0] == ["icmh/plain/human"]
    assert "icmh/scalable/det" in compared(report, "AP50")[0]


def test_headline_names_the_best_and_the_best_of_the_others(report: dict[str, Any]) -> None:
    changed = with_rates(report, icmh=(-60, -70, -50), avif=(-20, -30, -10))
    assert headline(changed) == (
        "At equal AP50, icmh needs 60 % fewer bits than jpeg (95 % interval 50 to 70 %); "
        "the best other codec, avif@416, 20 % fewer (95 % interval 10 to 30 %)."
    )
    changed = with_rates(report, icmh=(-5, -12, 3), avif=-20)
    assert headline(changed) == (
        "At equal AP50, avif@416 needs 20 % fewer bits than jpeg; "
        "the best icmh curve, icmh, 5 % fewer (uncertain: the 95 % interval holds 0)."
    )
    changed = with_rates(report, icmh=25, avif=10)
    assert headline(changed) == "At equal AP50, no curve needs fewer bits than jpeg."
    changed = with_rates(report, icmh=None, avif=None, jpeg=None)
    assert headline(changed) == "No curve can be compared with jpeg on AP50: see the notes."


def test_notes_say_that_a_set_is_small_and_what_was_left_out(report: dict[str, Any]) -> None:
    text = " ".join(notes(report))
    assert "10 pictures are a small set" in text
    assert "(1 of 11)" in text
    large = report | {"dataset": report["dataset"] | {"images": 5000, "left_out": 0}}
    assert "small set" not in " ".join(notes(large))


def test_clips_and_frames_are_counted(report: dict[str, Any]) -> None:
    assert amount(report) == "10 pictures"
    clips = report | {"dataset": report["dataset"] | {"clips": 1, "images": 12}}
    assert amount(clips) == "1 clip, 12 frames"
    text = " ".join(notes(clips))
    assert text.startswith("1 clip is a small set")
    assert "bootstrap over clips" in text
    assert "elementary streams" in text
    assert "picture" not in text
    assert "elementary" not in " ".join(notes(report))


def test_speeds_have_two_figures() -> None:
    assert [speed(value) for value in (None, 0.123, 4.56, 9.96, 123.4)] == [
        "\N{EN DASH}", "0.12", "4.6", "10", "123"
    ]  # fmt: skip
