from __future__ import annotations

import json
import os
from dataclasses import replace

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import common, exactness
from benchmarks import exactness_worker as worker
from benchmarks.cases import Case
from benchmarks.exactness_worker import PLAINEST, Job, Setting
from tests.benchmarks.conftest import picture

FLOATS = replace(PLAINEST, h_s="float32")


@pytest.fixture
def bench(photos, tmp_path):
    paths = common.pictures(photos)
    other = Setting(1, "no oneDNN", "bfloat16", "contiguous")
    found = exactness.measured(["test-tiny"])
    return exactness.Bench(tmp_path / "work", paths, found, [PLAINEST, other])


@pytest.fixture
def _here(monkeypatch):
    """Jobs run in this process, without the controls of two threads."""
    enabled = torch.backends.mkldnn.enabled
    monkeypatch.setattr(exactness, "spawn", worker.run)
    monkeypatch.setattr(exactness, "controls", list)
    yield
    torch.backends.mkldnn.enabled = enabled


def test_there_are_24_settings_with_names_of_their_own():
    settings = [s for s in exactness.settings_here() if s.device == "cpu"]
    assert len(settings) == len({s.slug for s in settings}) == 24
    assert all(c.isalnum() or c in "-_" for s in settings for c in s.slug)
    older = next(s for s in settings if s.kernels == "AVX2")
    assert set(older.environment) == {"ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"}


def test_a_job_survives_its_command_line(bench):
    job = bench.job("decode", FLOATS, ["a", "b"])
    assert Job.from_json(job.to_json()) == job


@pytest.mark.usefixtures("_here")
def test_all_settings_decode_the_same_symbols(bench):
    bench.controls = []
    results = exactness.run(bench, 1)
    assert [row["mismatches"] for row in results["rows"]] == [0, 0]
    assert [row["files"] for row in results["rows"]] == [4, 4]
    plainest = next(r for r in results["rows"] if r["setting"] == PLAINEST.name)
    assert plainest["largest_pixel_difference"] == 0
    assert json.loads(json.dumps(common.rounded(results))) == common.rounded(results)
    assert exactness.table(results).row_count == 2
    # a second run has nothing left to encode, and a symbol elsewhere is found
    assert next(bench.jobs()) == []
    path = worker.decode_record(bench.work, PLAINEST.slug)
    record = json.loads(path.read_text())
    record["files"] = dict.fromkeys(record["files"], "error: damaged")
    path.write_text(json.dumps(record))
    again = exactness.summary(bench)
    assert sorted(row["mismatches"] for row in again["rows"]) == [0, 4]


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("arithmetic", ["bfloat16", "tf32"])
def test_a_hyper_decoder_in_coarser_floats_is_found(bench, arithmetic):
    coarse = replace(FLOATS, h_s=arithmetic)
    for job in (
        bench.job("encode", FLOATS),
        bench.job("decode", FLOATS, [FLOATS.slug]),
        bench.job("decode", coarse, [FLOATS.slug]),
    ):
        worker.run(job)
    same, other = (
        exactness.mismatches(bench.work, [FLOATS.slug], s.slug) for s in (FLOATS, coarse)
    )
    assert same == {"files": 2, "mismatches": 0}
    assert other["mismatches"] > 0


@pytest.mark.usefixtures("_here")
def test_a_very_slow_setting_encodes_few_and_shows_none(bench, monkeypatch):
    monkeypatch.setattr(worker.Setting, "very_slow", property(lambda self: True))
    monkeypatch.setattr(worker, "FEW", 1)
    bench.controls = []
    results = exactness.run(bench, 1)
    assert [row["pictures_encoded"] for row in results["rows"]] == [1, 1]
    assert [row["largest_pixel_difference"] for row in results["rows"]] == [None, None]


def test_the_middle_is_cut_out_of_larger_pictures():
    pixels = np.arange(130 * 40, dtype=np.uint8).reshape(130, 40, 1).repeat(3, 2)
    assert np.array_equal(worker.middle(pixels), pixels[1:129])
    assert [s.very_slow for s in exactness.settings_here()].count(True) == 4


def test_the_controls_are_an_encoder_in_floats_with_decoders_in_others():
    for encoder, decoders in exactness.controls():
        assert encoder.h_s != worker.EXACT
        assert encoder not in decoders
    (_, first), _ = exactness.controls()
    assert {"bfloat16", "tf32"} <= {decoder.h_s for decoder in first}


def test_rounding_of_the_mantissa():
    step = 2.0**-10
    values = torch.tensor([1 + step, 1 + 0.4 * step, -(1 + 0.6 * step), 0.0, 3.0])
    expected = torch.tensor([1 + step, 1, -(1 + step), 0, 3])
    assert torch.equal(worker.round_mantissa(values), expected)


def test_a_contiguous_transform_computes_the_same_in_another_layout():
    codecs = [
        worker.networks_under(replace(PLAINEST, layout=layout), ["test-tiny"]).base(
            "test-tiny", torch.float32
        )
        for layout in exactness.LAYOUTS
    ]
    x = torch.from_numpy(picture(64, 64)).permute(2, 0, 1)[None] / 255
    first, second = (
        codec.g_a[0](x.contiguous(memory_format=torch.channels_last)) for codec in codecs
    )
    assert not first.is_contiguous()
    assert second.is_contiguous()
    torch.testing.assert_close(codecs[0].analysis(x), codecs[1].analysis(x), rtol=1e-3, atol=1e-3)


def test_jobs_run_in_processes_of_their_own(bench):
    exactness.spawn(bench.job("encode", PLAINEST))
    record = worker.encode_record(bench.work, PLAINEST.slug)
    assert set(json.loads(record.read_text())["files"]) == {"0", "1"}
    broken = replace(bench.job("decode", PLAINEST, ["none"]), cases=(Case("no-such-codec", ()),))
    with pytest.raises(click.ClickException, match="no-such-codec"):
        exactness.spawn(broken)


def test_the_digest_tells_values_and_shapes_apart():
    x = torch.arange(6, dtype=torch.int32)
    digests = {worker.digest(t) for t in (x, x + 1, x.view(2, 3), x.view(3, 2))}
    assert len(digests) == 4
    assert worker.digest(x) == worker.digest(torch.from_numpy(np.arange(6, dtype=np.uint8)))


def test_the_command_line_needs_pictures(tmp_path):
    result = CliRunner().invoke(exactness.main, ["--kodak", os.fspath(tmp_path)])
    assert result.exit_code == 1
    assert "no PNG pictures" in result.output


@pytest.mark.parametrize("profile", ["scalable", "machine"])
def test_what_a_predictor_leaves_out_is_not_expected_back(profile):
    """A latent of a task's own is not written whole where its layer has a predictor."""
    case = Case("mbt2018-mean-gain-1", ("det-1", "seg-1"), profile)
    pixels = picture(96, 64, 1)
    networks = worker.networks_under(PLAINEST, [case.base])
    options = worker.Options(quality=4.0, **case.options(pixels))
    data, expected = worker.encode_with_digest(networks, case.base, pixels, options)
    assert worker.decoded_digest(networks, data) == expected
