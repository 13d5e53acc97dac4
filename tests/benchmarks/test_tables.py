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
    for block in (*tables.kodak(RATE), *tables.layers(LAYERS)):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1


def test_layers_that_do_not_come_back_are_shown():
    said = "\n".join(tables.layers(LAYERS))
    assert "| `det` | 5 | 1.0100 | 1.0200 | 40.0 % | 140, 150 | 1 of 1 | 0 of 1 |" in said
    assert "| `cls,det` `--with-human` | 5 | 1,234 | 1 of 1 |" in said
    assert "machine" not in "\n".join(tables.layers(LAYERS | {"machine": []}))


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_pages_are_up_to_date(name):
    assert (common.RESULTS / tables.TABLES[name][0]).exists()
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
    (table,) = tables.other_networks({"measured": [found]})
    assert "| other | `icmh:base-1 machine det` | AP (%) | -30.0 % [-40 to -20] |" in table
    assert len(table.splitlines()) == 4
