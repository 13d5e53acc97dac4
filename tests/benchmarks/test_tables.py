from __future__ import annotations

import json

import click
import pytest

from benchmarks import common, tables

RATE = {
    "settings": {"pictures": 1, "precision": "float32", "codec": "base-0 00"},
    "icmh": [
        {"quality": 4.0, "bpp": 0.5, "psnr": 31.26, "coded_against_model_percent": 0.4}
        | {"integer_stage_percent": 0.001, "indexes_moved_percent": 1.0}
        | {"overhead": {"mean": 90.4, "most": 99}}
    ],
    "bd_rate_percent": {"JPEG": {"psnr": -25.04, "ms_ssim": None}},
}

LAYERS = {
    "settings": {"pictures": 1, "precision": "float32", "codec": "base-0 00"},
    "scalable": [
        {"tasks": "det", "quality": 5.0, "size_ratio": 1.01, "size_ratio_worst": 1.02}
        | {"layer_share_of_plain": 0.4, "overhead": {"mean": 140.0, "most": 150}, "pictures": 1}
        | {"human_identical": 1, "rejoined": 0}
    ],
    "machine": [
        {"tasks": "cls,det", "quality": 5.0, "with_human": True, "bytes": 1234.5, "pictures": 1}
        | {"rejoined": 1}
    ],
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rate.json").write_text(json.dumps(RATE))
    return tmp_path


def test_a_marked_table_is_filled_once_and_for_all(folder):
    text = "before\n<!-- table: kodak -->\nold\n<!-- end -->\nafter\n<!-- end -->\n"
    filled = tables.fill(text, folder)
    assert filled.startswith("before\n<!-- table: kodak -->\n1 Kodak pictures")
    assert filled.endswith("|\n<!-- end -->\nafter\n<!-- end -->\n")
    assert "| 4 | 0.500 | 31.26 | - | +0.40 % |" in filled
    assert "| JPEG | -25.0 % | - |" in filled
    assert "old" not in filled
    assert tables.fill(filled, folder) == filled


def test_a_table_without_results_is_empty(folder):
    text = "<!-- table: speed -->\nold | table\n<!-- end -->\n"
    assert tables.fill(text, folder) == "<!-- table: speed -->\n<!-- end -->\n"


def test_an_unknown_table_is_an_error(folder):
    with pytest.raises(click.ClickException, match="no table 'else'"):
        tables.fill("<!-- table: else -->\n<!-- end -->", folder)


def test_all_rows_of_a_table_have_its_columns(folder):
    for block in (*tables.codecs.kodak(RATE), *tables.codecs.layers(LAYERS)):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1


def test_layers_that_do_not_come_back_are_shown():
    said = "\n".join(tables.codecs.layers(LAYERS))
    assert "| `det` | 5 | 1.0100 | 1.0200 | 40.0 % | 140, 150 | 1 of 1 | 0 of 1 |" in said
    assert "| `cls,det` `--with-human` | 5 | 1,234 | 1 of 1 |" in said
    assert "machine" not in "\n".join(tables.codecs.layers(LAYERS | {"machine": []}))


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_pages_are_up_to_date(name):
    assert all((common.RESULTS / file).exists() for file in tables.TABLES[name][0])
    text = "\n".join(page.read_text() for page in tables.PAGES)
    found = {match[2]: match[0] for match in tables.MARKED.finditer(text)}
    assert name in found, f"no page has the table '{name}'"
    assert tables.fill(found[name]) == found[name], "run python -m benchmarks.tables"


def test_layers_under_other_networks_stand_against_the_base_codec():
    anchor = "icmh:base-1/plain/human"
    entry = {"curve": "icmh:base-1/machine/det", "anchor": anchor, "metric": "AP"}
    found = {
        "network": {"id": "other"},
        "rows": [{"metrics": {"AP": 20.0, "AP50": 40.0}}],
        "bd": [
            entry | {"bd_rate_percent": -30.04, "ci95": [-40.2, -20.4]},
            entry | {"metric": "AP50", "bd_rate_percent": -1.0, "ci95": None},
            entry | {"metric": "agreement", "bd_rate_percent": None, "ci95": None},
        ],
    }
    (table,) = tables.reports.other_networks({"measured": [found]})
    assert "| other | `icmh:base-1 machine det` | AP (%) | -30.0 % [-40 to -20] |" in table
    assert len(table.splitlines()) == 4


def test_curves_of_all_codecs_stand_beside_each_other():
    points = [RATE["icmh"][0] | {"quality": float(q), "bpp": 0.1 * (q + 1)} for q in (0, 4, 9)]
    searched = {"effort": 3, "bd_rate_percent": {"JPEG": {"psnr": -27.0}}}
    first = RATE | {"icmh": points, "searched": searched}
    second = RATE | {"icmh": points, "settings": RATE["settings"] | {"codec": "base-1 11"}}
    head, table = tables.codecs.curves(first, second)
    assert head.startswith("1 Kodak pictures")
    rows = table.splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| `base-0`",
        "| `base-0` `--effort 3`",
        "| `base-1`",
    ]
    assert (
        "| 0.100 bpp, 31.26 dB | 0.500 bpp, 31.26 dB | 1.000 bpp, 31.26 dB | -25.0 % |" in rows[0]
    )
    assert rows[1].endswith("| -27.0 % |")


def test_a_run_of_exactness_is_a_line_with_all_its_mismatches():
    settings = {"cases": {"a": {"codec": "base-1 11", "det predictor": "det-1 22"}}}
    rows = [{"files": 6, "mismatches": 0}, {"files": 6, "mismatches": 2}]
    (table,) = tables.exactness.runs({"settings": settings, "files": 6, "rows": rows})
    assert table.splitlines()[2] == "| `base-1`, `det-1` | 6 | 2 | 12 | **2** |"


def test_curves_can_be_left_out_of_a_report():
    entry = {"metric": "psnr", "bd_rate_percent": -10.0, "ci95": None}
    pairs = [("a", "b"), ("a", "c"), ("c", "b"), ("b", "c")]
    results = {
        "network": None,
        "dataset": {"images": 2, "pixels": 1e6},
        "settings": {"anchors": ["b", "c"]},
        "rows": [{"curve": name, "metrics": {"psnr": 30.0}} for name in ("original", *"abc")],
        "bd": [entry | {"curve": curve, "anchor": anchor} for curve, anchor in pairs],
    }
    _, whole = tables.reports.bench(results)
    _, part = tables.reports.bench(results, without=("c",))
    assert [line.split(" | ")[0] for line in whole.splitlines()[2:]] == ["| `a`", "| `c`", "| `b`"]
    assert "to c" in whole.splitlines()[0]
    assert [line.split(" | ")[0] for line in part.splitlines()[2:]] == ["| `a`", "| `b`"]
    assert part.splitlines()[0] == "| bits at equal PSNR (dB) | to b |"


def test_layers_stand_beside_pictures_for_people():
    anchors = [*tables.reports.PEOPLE, "avif@416/plain/det"]
    entry = {"metric": "AP", "curve": "icmh/machine/det", "ci95": [-50.0, -30.0]}
    results = {
        "settings": {"anchors": anchors},
        "rows": [
            {"curve": name, "metrics": {"AP": 20.0}}
            for name in ("icmh/machine/det", "icmh@416/plain/det", *anchors)
        ],
        "bd": [
            entry | {"anchor": anchor, "bd_rate_percent": -10.0 * place}
            for place, anchor in enumerate(anchors, start=1)
        ]
        + [entry | {"curve": "icmh@416/plain/det", "anchor": anchors[0], "bd_rate_percent": 5.0}],
    }
    (table,) = tables.reports.layers(results, results)
    rows = table.splitlines()[2:]
    assert len(rows) == 2
    assert rows[0] == rows[1]
    assert rows[0].startswith("| `icmh machine det` | AP (%) | -10.0 % [-50 to -30] |")
    assert rows[0].endswith("| -40.0 % [-50 to -30] |")
