"""Zoo checkpoints: downloaded from loopback, checked, converted once, loaded from the cache."""

import functools
import hashlib
import http.server
import io
import threading

import pytest
import torch

from icmhcodec.codecs import registry, zoo
from icmhcodec.errors import FormatError, MissingWeightsError
from tests.codecs.compressai_models import random_model

ID = "mbt2018-mean-q3"
SCALE_ID = "bmshj2018-hyperprior-q1"
ANCHOR_ID = "cheng2020-anchor-q4"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setattr(zoo, "ROOT_URL", f"http://127.0.0.1:{http_server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("ICMH_CACHE", str(tmp_path / "cache"))
        yield folder
        http_server.shutdown()
        thread.join()


def publish(folder, monkeypatch, codec_id, state, damage=b""):
    """Serve a checkpoint under a name that carries its hash, as the zoo does."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    name = f"{codec_id}-{digest[:8]}.pth.tar"
    (folder / name).write_bytes(buffer.getvalue() + damage)
    monkeypatch.setitem(zoo.CHECKPOINTS, codec_id, name)
    return folder / name


def old_names(state):
    """Names of the first published checkpoints, before parameter lists became parameters."""
    return {
        k.replace(".matrices.", "._matrices.")
        .replace(".biases.", "._biases.")
        .replace(".factors.", "._factors."): v
        for k, v in state.items()
    }


def middle_names(state):
    """Names between CompressAI 1.1 and 1.2.6, as saved by a DataParallel model."""
    for new, stem in (("matrices", "matrix"), ("biases", "bias"), ("factors", "factor")):
        state = {k.replace(f".{new}.", f"._{stem}"): v for k, v in state.items()}
    return {f"module.{k}": v for k, v in state.items()}


@pytest.mark.parametrize("naming", [dict, old_names, middle_names])
def test_checkpoint_is_downloaded_converted_and_cached(server, monkeypatch, naming):
    model = random_model("mean-scale")
    path = publish(server, monkeypatch, ID, naming(model.state_dict()))
    codec = registry.load(ID)
    path.unlink()
    again = registry.load(ID)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(codec.analysis(x), model.g_a(x), rtol=1e-5, atol=1e-4)
    assert (codec.id, codec.levels, codec.default_skip) == (ID, 1, 0)
    assert again.fingerprint == codec.fingerprint
    assert [p.name for p in zoo.cache_folder().iterdir()] == [f"{ID}.safetensors"]


def test_a_wrong_hash_is_refused_and_nothing_is_kept(server, monkeypatch):
    publish(server, monkeypatch, ID, random_model("mean-scale").state_dict(), damage=b"!")
    with pytest.raises(FormatError, match="SHA-256"):
        registry.load(ID)
    assert not zoo.converted_path(ID).exists()


def test_a_checkpoint_that_holds_more_than_tensors_is_refused(server, monkeypatch):
    publish(server, monkeypatch, ID, {"g_a.0.weight": server})
    with pytest.raises(FormatError, match="not a checkpoint"):
        registry.load(ID)


def test_offline_says_which_file_to_put_where(server, monkeypatch):
    with pytest.raises(MissingWeightsError) as caught:
        registry.load(ID)
    message = str(caught.value)
    assert "mbt2018-mean-3-723404a8.pth.tar" in message
    assert str(zoo.cache_folder()) in message
    assert "\n" not in message


def test_a_checkpoint_put_into_the_cache_by_hand_is_taken(server, monkeypatch):
    path = publish(server, monkeypatch, SCALE_ID, random_model("scale").state_dict())
    zoo.cache_folder().mkdir()
    path.rename(zoo.cache_folder() / path.name)
    assert registry.load(SCALE_ID).latent_channels == 12


def test_the_anchor_is_converted_from_the_names_it_was_published_with(server, monkeypatch):
    model = random_model("cheng2020-anchor")
    state = {k.replace(".skip.", ".downsample."): v for k, v in model.state_dict().items()}
    publish(server, monkeypatch, ANCHOR_ID, old_names(state))
    codec = registry.load(ANCHOR_ID)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(codec.analysis(x), model.g_a(x), rtol=1e-5, atol=1e-4)
    assert (codec.id, codec.levels, codec.default_skip) == (ANCHOR_ID, 1, 0)


def test_a_checkpoint_downloaded_by_hand_is_added(server, monkeypatch):
    path = publish(server, monkeypatch, ANCHOR_ID, random_model("cheng2020-anchor").state_dict())
    reference = registry.add(path)
    path.unlink()
    assert registry.load(ANCHOR_ID).fingerprint == reference.fingerprint
    assert registry.identify(reference.fingerprint) == ANCHOR_ID
    assert registry.remove(ANCHOR_ID) == [zoo.converted_path(ANCHOR_ID)]
    assert registry.remove(ANCHOR_ID) == []


def test_a_checkpoint_of_another_name_is_not_added(server):
    path = server / "mine.pth.tar"
    path.touch()
    with pytest.raises(FormatError, match="not a checkpoint's name"):
        registry.add(path)


def test_names_and_hashes_are_those_of_compressais_zoo():
    random_model("scale")  # imports compressai
    from compressai.zoo import image

    published = {
        f"{model}-q{quality}": url.rsplit("/", 1)
        for model in ("mbt2018-mean", "bmshj2018-hyperprior", "cheng2020-anchor")
        for quality, url in image.model_urls[model]["mse"].items()
    }
    assert {name: [zoo.ROOT_URL, file] for name, file in zoo.CHECKPOINTS.items()} == published
