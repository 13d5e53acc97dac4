from __future__ import annotations

import hashlib
import http.server
import threading

import pytest

from icmhcodec.errors import MissingWeightsError
from icmhcodec.tasks import weights

CONTENT = b"weights of a network"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("ICMH_NETS", raising=False)


@pytest.fixture
def served(tmp_path):
    """Serves tmp_path/served on the loopback; gives (folder, address, paths asked for)."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def network_file(address="http://127.0.0.1:9"):
    digest = hashlib.sha256(CONTENT).hexdigest()
    return weights.NetworkFile("net", "net.onnx", f"{address}/net.onnx", digest, len(CONTENT))


def test_a_path_may_be_the_file_or_its_folder(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(CONTENT)
    assert weights.locate(network_file(), path) == path
    assert weights.locate(network_file(), tmp_path) == path


def test_a_given_path_is_the_only_place(tmp_path, monkeypatch):
    (tmp_path / "net.onnx").write_bytes(CONTENT)
    monkeypatch.setenv("ICMH_NETS", str(tmp_path))
    with pytest.raises(MissingWeightsError, match=r"net\.onnx is not in .*elsewhere"):
        weights.locate(network_file(), tmp_path / "elsewhere")


@pytest.mark.parametrize("folder", [".", "net"])
def test_the_environment_comes_before_the_cache(tmp_path, monkeypatch, folder):
    for place in (tmp_path / "nets" / folder, tmp_path / "cache" / "net"):
        place.mkdir(parents=True)
        (place / "net.onnx").write_bytes(CONTENT)
    monkeypatch.setenv("ICMH_NETS", str(tmp_path / "nets"))
    assert weights.locate(network_file()) == tmp_path / "nets" / folder / "net.onnx"


def test_another_file_of_this_name_is_refused(tmp_path):
    (tmp_path / "net.onnx").write_bytes(CONTENT + b"!")
    with pytest.raises(MissingWeightsError, match="SHA-256 differs"):
        weights.locate(network_file(), tmp_path)


def test_it_is_downloaded_once(tmp_path, served):
    folder, address, asked = served
    (folder / "net.onnx").write_bytes(CONTENT)
    file = network_file(address)
    assert weights.locate(file) == weights.locate(file) == tmp_path / "cache/net/net.onnx"
    assert asked == ["/net.onnx"]
    assert [p.name for p in (tmp_path / "cache/net").iterdir()] == ["net.onnx"]


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!", None])
def test_a_bad_download_leaves_nothing(tmp_path, served, content):
    folder, address, _ = served
    if content is not None:
        (folder / "net.onnx").write_bytes(content)
    with pytest.raises(MissingWeightsError, match="could not be downloaded") as caught:
        weights.locate(network_file(address))
    assert str(tmp_path / "cache" / "net") in str(caught.value)
    assert not list((tmp_path / "cache/net").iterdir())


def test_without_download_the_error_names_file_and_folder(tmp_path):
    with pytest.raises(MissingWeightsError, match="ICMH_NETS") as caught:
        weights.locate(network_file(), download=False)
    assert "net.onnx" in str(caught.value)
    assert str(tmp_path / "cache" / "net") in str(caught.value)
