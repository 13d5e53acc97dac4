from __future__ import annotations

import signal
from pathlib import Path

import pytest

from icmhcodec.cli.train import _progress, _stop_on_interrupt
from icmhcodec.training.adapter import Progress

from .conftest import Run, lines

ADAPTER = ("train", "adapter", "--task", "det", "--data", ".", "--minutes", "1", "--out", "out")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((*ADAPTER, "--resume"), 2, "no state to resume"),
        ((*ADAPTER, "--data", "none"), 2, "none: no such folder"),
        ((*ADAPTER, "--out", "begun"), 2, "--resume goes on"),
        ((*ADAPTER, "--minutes", "0"), 2, "--minutes"),
        (("train", "export", "none", "--id", "x-0", "-o", "x"), 2, "no such file"),
        (("train", "export", "text", "--id", "x-0", "-o", "x"), 3, "safetensors"),
        (("train", "export", "text", "--id", "x-0", "-o", "text"), 2, "the input itself"),
    ],
)
def test_errors(run: Run, arguments: tuple[str, ...], code: int, message: str) -> None:
    Path("text").write_text("text")
    Path("begun").mkdir()
    Path("begun/state.pt").touch()
    result = run(*arguments)
    assert result.exit_code == code, result.stderr
    assert len(lines(result)) == 1
    assert message in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_bits_distortion_and_time_left(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "160")
    with _progress() as report:
        report(Progress(0.25, 12, 0.345, 0.5, 1.0, 0.4, 90.0, None))
    said = capsys.readouterr().err
    for part in ("25", "0.345 bpp", "distortion 0.5000", "1.5 min left"):
        assert part in said


def test_the_first_interrupt_lets_a_step_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    with _stop_on_interrupt() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
