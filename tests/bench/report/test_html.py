from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from icmhcodec.bench.report.examples import Example
from icmhcodec.bench.report.html import write
from icmhcodec.bench.report.words import headline, percent

VOID = {"meta", "img", "br", "wbr", "path", "circle", "use"}
EXAMPLES = [
    Example(sample, curve, 1.0, 0.25, "2 <objects>", 4, 3, "image/webp", b"picture")
    for sample in ("<a>.png", "b.png")
    for curve in ("original", "icmh/scalable/det")
]


class Page(HTMLParser):
    """Checks nesting and collects the text and what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in {"src", "href", "xlink:href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [v or "" for k, v in attrs if k in {"src", "href", "xlink:href"}]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def text(report: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "a.html"
    write(path, report, EXAMPLES)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    parser = Page()
    parser.feed(text)
    return parser


def test_is_well_formed_and_escapes_what_it_is_given(page: Page) -> None:
    assert page.open == []
    assert "script" not in page.tags
    assert "i" not in page.tags
    words = " ".join(page.text)
    for part in (
        "<script>alert(1)</script>",
        "<i>.png",
        "<13>",
        "'a <b> & c'",
        "<a>.png",
        "2 <objects>",
    ):
        assert part in words


def test_needs_nothing_from_elsewhere(text: str, page: Page) -> None:
    assert all(link.startswith(("#", "data:image/webp;base64,")) for link in page.links)
    assert "@import" not in text
    assert all(place == "#" for place in re.findall(r"url\((.)", text))


def test_shows_headline_rates_times_points_and_conditions(
    report: dict[str, Any], page: Page
) -> None:
    words = "".join(page.text)
    assert headline(report) in words
    for found in report["bd"]:
        if found["metric"] in ("AP50", "agreement"):
            assert percent(found["bd_rate_percent"]) in words
    for row in report["rows"]:
        assert f"{row['bytes']:,}" in words
    slowest = max(row["encode_s"] for row in report["rows"])
    for part in (f"{slowest:.2f} s", report["network"]["fingerprint"], report["versions"]["numpy"]):
        assert part in words
    assert page.tags.count("img") == 4


def test_ids_of_the_charts_do_not_clash(text: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:url\(|href=")#([^")]+)', text)
    assert referred
    assert set(referred) <= set(ids)


def test_without_network_examples_and_comparisons(report: dict[str, Any], tmp_path: Path) -> None:
    bare = report | {"network": None, "task": None, "bd": [], "failures": []}
    write(tmp_path / "b.html", bare)
    text = (tmp_path / "b.html").read_text()
    assert "no second curve" in text
    assert "Failures" not in text
    assert "Examples" not in text
