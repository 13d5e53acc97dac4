"""Codecs by name, alias and fingerprint; what they are loaded with and how fast."""

import subprocess
import sys

import pytest
import torch

from icmhcodec.codecs import registry, zoo
from icmhcodec.container import Reference
from icmhcodec.errors import MissingWeightsError

DEFAULT = "mbt2018-mean-gain-1"


def test_the_alias_is_the_packaged_default():
    codec = registry.load("mbt2018-mean-gain")
    assert (codec.id, codec.default_skip, codec.levels) == (DEFAULT, 4, 10)
    assert (codec.hyper_channels, codec.latent_channels) == (128, 192)
    assert codec.encoder_channels == codec.decoder_channels == (128, 128, 128)
    assert codec.dtype == torch.float32


@pytest.mark.parametrize("name", ["mbt2018-mean-gain-2", "mbt2018-mean-gain-3"])
def test_wider_codecs_are_in_the_package(name):
    codec = registry.load(name)
    assert (codec.default_skip, codec.levels) == (4, 10)
    assert (codec.hyper_channels, codec.latent_channels) == (128, 320)
    assert codec.encoder_channels == codec.decoder_channels == (128, 128, 128)


def test_every_packaged_codec_is_found_by_its_fingerprint():
    for name in registry.PACKAGED:
        codec = registry.load(name)
        assert registry.identify(codec.fingerprint) == name
        reference = Reference(name, codec.fingerprint)
        assert registry.load_reference(reference).fingerprint == codec.fingerprint
    assert registry.identify(bytes(8)) is None


def test_an_unknown_codec_lists_the_known():
    with pytest.raises(MissingWeightsError, match="known are mbt2018-mean-gain, "):
        registry.load("no-such-codec")


def test_a_file_with_other_weights_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("ICMH_CACHE", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="needs codec test-tiny with fingerprint 0000"):
        registry.load_reference(Reference("test-tiny", bytes(8)))


def test_names_hold_the_zoo():
    assert set(zoo.CHECKPOINTS) < set(registry.names())
    assert len(zoo.CHECKPOINTS) == 22


def test_loading_imports_neither_compressai_nor_torchvision():
    code = (
        "import sys, icmhcodec.codecs.registry as r; r.load('test-tiny')\n"
        "print(sorted(m for m in sys.modules if m in ('compressai', 'torchvision', 'scipy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
