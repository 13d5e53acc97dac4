from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from icmhcodec.bench.cache import Cache
from icmhcodec.bench.summary import SCHEMA, SCHEMA_FILE, summarise
from tests.bench import synthetic

DOCUMENTED = Path(__file__).parents[2] / "docs" / "bench.md"
FEW = ("jpeg/plain/human", "avif@416/plain/det", "icmh/scalable/det")
FAILURES = [{"sample": "broken.png", "codec": "jxl/plain", "message": "not a picture"}]


def summary(**changes: Any) -> dict[str, Any]:
    options = {
        "dataset": synthetic.dataset(12),
        "network": synthetic.Network(),
        "command": "icmh bench pictures --task det",
        "failures": FAILURES,
        "fingerprints": {"jpeg/plain": {"pillow": "13"}},
        "resamples": 20,
        **changes,
    }
    return summarise(options.pop("observations", synthetic.observations(12, curves=FEW)), **options)


def plain(report: dict[str, Any]) -> Any:
    return json.loads(json.dumps(report, allow_nan=False))


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return summary()


def test_follows_the_schema(report: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA_FILE.read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate(plain(report))
    validator.validate(plain(summary(network=None, failures=[], resamples=0)))
    assert report["schema"] == schema["$id"] == SCHEMA
    broken = plain(report) | {"rows": [{"curve": "jpeg"}]}
    assert not validator.is_valid(broken)


def test_every_key_is_documented() -> None:
    text = DOCUMENTED.read_text()
    schema = json.loads(SCHEMA_FILE.read_text())
    keys = set(re.findall(r'"([a-z0-9_]+)": \{', json.dumps(schema["properties"])))
    keys |= {key for part in schema["$defs"].values() for key in part.get("properties", ())}
    keys -= {"properties", "items"}
    assert len(keys) > 30
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_rows_are_what_the_pictures_sum_up_to(report: dict[str, Any]) -> None:
    seen = synthetic.observations(12, curves=FEW)
    assert [row["curve"] for row in report["rows"]] == ["original"] + [
        c for c in FEW for _ in range(6)
    ]
    row = report["rows"][1]
    own = [o for o in seen if (o.curve, o.point) == (row["curve"], row["point"])]
    assert row["bytes"] == sum(o.bytes for o in own)
    assert row["bpp"] == pytest.approx(8 * row["bytes"] / sum(o.pixels for o in own))
    assert row["metrics"]["psnr"] == pytest.approx(
        np.mean([10 * np.log10(255**2 / o.human["mse"]) for o in own])
    )
    assert row["encode_s"] == pytest.approx(np.median([o.encode_s for o in own]))
    low, high = row["ci95"]["AP50"]
    assert low < row["metrics"]["AP50"] < high
    assert [r["bpp"] for r in report["rows"][1:7]] == sorted(r["bpp"] for r in report["rows"][1:7])


def test_the_uncompressed_pictures_have_no_finite_psnr(report: dict[str, Any]) -> None:
    row = report["rows"][0]
    assert (row["codec"], row["profile"], row["task"]) == ("original", "plain", "human")
    assert row["metrics"]["psnr"] is None
    assert row["ci95"]["psnr"] is None
    assert row["bpp"] == 24


def test_compares_each_curve_with_each_anchor_on_what_both_have(report: dict[str, Any]) -> None:
    pairs = {(found["curve"], found["anchor"]) for found in report["bd"]}
    anchors = report["settings"]["anchors"]
    assert anchors == ["jpeg/plain/human", "avif@416/plain/det"]
    assert pairs == {(c, a) for c in FEW for a in anchors if c != a}
    shrunk = {b["metric"] for b in report["bd"] if b["anchor"] == "avif@416/plain/det"}
    assert shrunk == {"AP50", "agreement"}
    whole = {b["metric"] for b in report["bd"] if b["anchor"] == "jpeg/plain/human"}
    assert whole == {"AP50", "agreement", "psnr", "ms_ssim_db", "lpips"}
    found = next(b for b in report["bd"] if (b["curve"], b["metric"]) == (FEW[2], "psnr"))
    assert found["bd_rate_percent"] == pytest.approx(-66, abs=0.1)  # as synthetic.CURVES has it
    assert found["ci95"][0] <= found["bd_rate_percent"] <= found["ci95"][1]


def test_is_the_same_every_time() -> None:
    again, other = summary(), summary(seed=1)
    assert plain(again) == plain(summary())
    assert again["bd"][0]["ci95"] != other["bd"][0]["ci95"]
    assert again["bd"][0]["bd_rate_percent"] == other["bd"][0]["bd_rate_percent"]


def test_says_how_far_it_is() -> None:
    steps: list[tuple[int, int]] = []
    summary(progress=lambda done, total: steps.append((done, total)))
    total = 19 * 21 + 4  # points by sets of pictures, and pairs of curves
    assert steps == [(done, total) for done in range(1, total + 1)]


def test_what_was_computed_before_is_not_computed_again(tmp_path: Path) -> None:
    class Counting(synthetic.Network):
        calls = 0

        def metric(self, observations: Any) -> dict[str, float]:
            Counting.calls += 1
            return super().metric(observations)

    with closing(Cache(tmp_path)) as cache:
        steps: list[int] = []
        first = summary(network=Counting(), cache=cache)
        once = Counting.calls
        second = summary(
            network=Counting(), cache=cache, progress=lambda done, total: steps.append(done)
        )
        assert Counting.calls == once > 0
        assert steps[-1] == len(steps) == 19 * 21 + 4
        assert plain(first) == plain(second) == plain(summary())
        summary(network=Counting(), cache=cache, seed=1)
        assert Counting.calls == 2 * once


def test_without_resamples_there_are_no_intervals() -> None:
    report = summary(resamples=0)
    assert all(found["ci95"] is None for found in report["bd"])
    assert any(found["bd_rate_percent"] is not None for found in report["bd"])


def test_an_overlap_that_one_picture_decides_gives_no_interval() -> None:
    """Where that picture is drawn again, the two curves have no accuracy in common."""
    seen = []
    for one in synthetic.observations(12, curves=FEW[:1]):
        odd = 1.0 if one.sample == "000000.png" else 0.0
        if one.curve == "original":
            seen.append(one)
            continue
        rise = 0.2 + one.point / 50
        seen.append(replace(one, task={"found": rise, "same": 1.0}))
        above = {"found": rise + 3 * odd, "same": 1.0}
        seen.append(replace(one, curve="icmh/scalable/det", task=above))
    found = next(b for b in summary(observations=seen, resamples=40)["bd"] if b["metric"] == "AP50")
    assert found["bd_rate_percent"] is not None
    assert found["ci95"] is None
    assert "resamples have a BD-rate" in found["note"]


def test_an_anchor_that_failed_costs_no_report() -> None:
    anchors = summary(anchors=["bpg", "icmh"])["settings"]["anchors"]
    assert anchors == ["icmh/scalable/det"]
    assert summary(anchors=["bpg"])["settings"] == summary()["settings"]


def test_other_versions_compare_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Cache(tmp_path)) as cache:
        first = summary(cache=cache)
        monkeypatch.setattr("icmhcodec.bench.summary.compare", lambda *_: None)
        assert plain(summary(cache=cache)) == plain(first)
        monkeypatch.setattr("icmhcodec.bench.cache.version", lambda package: f"newer {package}")
        with pytest.raises(AttributeError):
            summary(cache=cache)


def test_names_no_host_and_no_user(report: dict[str, Any]) -> None:
    assert set(report["machine"]) == {"system", "processor", "cores", "python"}
    assert report["versions"]["icmhcodec"]
