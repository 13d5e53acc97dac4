from __future__ import annotations

import json

import click
import pytest

from benchmarks import common, tables

RATE = {
    "settings": {"pictures": 1, "precision": "float32", "task": "det", "codec": "base-0 00"}
    | {"predictor": "det-0 00"},
    "icmh": [
        {"quality": 4.0, "bpp": 0.5, "psnr": 31.26, "coded_against_model_percent": 0.4}
        | {"integer_stage_percent": 0.001, "indexes_moved_percent": 1.0}
        | {"overhead": {"mean": 90.4, "most": 99}}
    ],
    "bd_rate_percent": {"JPEG": {"psnr": -25.04, "ms_ssim": None}},
    "layered": [
        {"quality": 5.0, "size_ratio": 1.01, "size_ratio_worst": 1.02, "human_identical": 1}
        | {"layer_share_of_plain": 0.4, "overhead": {"mean": 140.0, "most": 150}, "pictures": 1}
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
    for block in tables.kodak(RATE):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_readme_is_up_to_date(name):
    if not (common.RESULTS / tables.TABLES[name][0]).exists() or not tables.README.exists():
        pytest.skip(f"no results for the table '{name}' or no README")
    text = tables.README.read_text()
    found = {match[2]: match[0] for match in tables.MARKED.finditer(text)}
    if name in found:
        assert tables.fill(found[name]) == found[name], "run python -m benchmarks.tables"
