import os
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from icmhcodec.errors import UsageError
from icmhcodec.training import loop, processes

from .conftest import TINY, crops_of, tiny_run

# SOAP follows eigenvectors, which make much of the last bit of a gradient.
RECIPE = replace(TINY, steps=3, bfloat16=False, optimiser="muon")


def _train(rank: int, count: int, port: int, folder: Path) -> None:
    """One process of a run; its weights and what it reported go to a file."""
    torch.set_num_threads(1)
    if count > 1:
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in names.items()})
        os.environ["MASTER_ADDR"] = "127.0.0.1"
        processes.join(torch.device("cpu"))
    run = tiny_run(RECIPE)
    crops = replace(crops_of(folder / "photos", RECIPE), rank=rank, processes=count)
    reports: list[loop.Progress] = []
    out = folder / f"of{count}"
    out.mkdir(exist_ok=True)
    loop.train(run, crops, out, reports.append)
    means = dict(reports[-1].means) if reports else {}
    torch.save((means, run.trained.state_dict()), folder / f"{rank}of{count}.pt")
    processes.leave()


def test_two_processes_train_as_one_does(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    crops_of(folder)  # decoded before the processes want it
    multiprocessing.spawn(_train, (2, port, folder.parent), nprocs=2)
    _train(0, 1, 0, folder.parent)
    names = ("0of2", "1of2", "0of1")
    first, second, alone = (torch.load(folder.parent / f"{name}.pt") for name in names)
    assert first[1].keys() == alone[1].keys()
    assert all(value.equal(second[1][name]) for name, value in first[1].items())
    assert second[0] == {}  # only the first one reports
    assert first[0] == pytest.approx(alone[0], rel=1e-3)
    for name, value in alone[1].items():
        assert torch.allclose(first[1][name], value, rtol=1e-2, atol=2e-4), name
    assert sorted(path.name for path in (folder.parent / "of2").iterdir()) == [loop.STATE]


def test_processes_wait_long_for_the_one_that_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(
        processes.dist, "init_process_group", lambda *a, timeout: given.extend((*a, timeout))
    )
    processes.join(torch.device("cpu"))
    assert given == ["gloo", timedelta(hours=2)]


def test_one_process_is_alone() -> None:
    assert (processes.rank(), processes.count()) == (0, 1)
    assert processes.total([1.5, 2], torch.device("cpu")) == [1.5, 2]
    processes.wait()
    processes.leave()


def test_devices() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert processes.choose_device("auto").type == expected
    for name in ("cuda:99", "abacus"):
        with pytest.raises(UsageError, match=f"device '{name}': torch cannot use it"):
            processes.choose_device(name)


@pytest.mark.parametrize(
    ("name", "rank", "chosen"), [("cuda", "1", "cuda:1"), ("cuda:2", "1", "cuda:2")]
)
def test_each_process_has_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, name: str, rank: str, chosen: str
) -> None:
    used: list[torch.device] = []
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(torch, "empty", lambda *_, device: None)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    assert processes.choose_device(name) == torch.device(chosen)
    assert used == [torch.device(chosen)]


def test_a_device_that_is_not_here_is_named() -> None:
    for name in ("cuda:99", "gpu", "meta:x"):
        with pytest.raises(UsageError, match=f"device '{name}'"):
            processes.choose_device(name)
