"""The inputs that coverage-guided runs left (benchmarks/fuzz), once again."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fuzz import targets
from icmhcodec.pipeline.codec import Codec
from tests.attacks import samples
from tests.attacks.mutations import within
from tests.pipeline.conftest import BASE
from tests.threads import one_thread  # noqa: F401

CORPUS = Path(targets.__file__).parent / "corpus"


def inputs(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def test_the_parser() -> None:
    found = inputs("parser")
    assert len(found) > 50
    for data in found:
        with within():
            targets.parser(data)


def test_the_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICMH_DATA", str(tmp_path / "data"))
    samples.install_bundles(tmp_path)
    decode = targets.decoder(Codec(BASE))
    found = inputs("decoder")
    assert len(found) > 50
    for data in found:
        with within():
            decode(data)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 200_000
