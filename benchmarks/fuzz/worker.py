"""One libFuzzer process: PROGRAM that started it, TARGET, and libFuzzer's own arguments."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris
import torch

INSTRUMENTED = ["icmhcodec.container", "icmhcodec.entropy.coder", "icmhcodec.masks",
                "icmhcodec.pipeline.latent", "icmhcodec.pipeline.decode"]  # fmt: skip


def main() -> None:
    program, name, *arguments = sys.argv[1:]
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    os.environ["ICMH_DATA"] = str(folder)
    with atheris.instrument_imports(include=INSTRUMENTED):  # what is imported here first
        from benchmarks.fuzz import targets
        from icmhcodec.pipeline.codec import Codec
        from tests.attacks import samples
        from tests.pipeline.conftest import BASE
    samples.install_bundles(folder)
    target = targets.parser if name == "parser" else targets.decoder(Codec(BASE))
    atheris.Setup([program, *arguments], target)
    atheris.Fuzz()


main()
