import os
import subprocess
import sys
from pathlib import Path

import pytest

import icmhcodec

# Pages that the kernel hands out anew when memory of 64 MB is taken and freed ten times.
CODE = """
import resource, sys
import numpy as np
from icmhcodec.training import machine
if "keep" in sys.argv:
    assert machine.tune()
np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
assert "torch" not in sys.modules
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_memory_is_kept() -> None:
    root = str(Path(icmhcodec.__file__).parent.parent)
    # Else numpy asks for huge pages, of which few are faults.
    environment = {**os.environ, "PYTHONPATH": root, "NUMPY_MADVISE_HUGEPAGE": "0"}

    def faults(*arguments: str) -> int:
        command = [sys.executable, "-c", CODE, *arguments]
        return int(subprocess.check_output(command, env=environment, text=True))

    assert faults("keep") * 10 < faults()
