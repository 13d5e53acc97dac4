"""What makes steps on a CPU faster without changing them: memory that is kept, threads that sleep.

Importing this module imports no torch: the threads' library reads its settings when it is loaded.
"""

from __future__ import annotations

import ctypes
import os
import sys

# Parameters of glibc's mallopt, and values that keep freed memory: activations are of tens of
# megabytes, and pages that are given back each step are zeroed by the kernel in the next.
_KEEP_MEMORY = {
    -4: 0,  # M_MMAP_MAX: no allocation by mmap, however large
    -1: -1,  # M_TRIM_THRESHOLD: never give memory back
    -2: 256 << 20,  # M_TOP_PAD: grow by so many bytes at once
}


def tune() -> bool:
    """Keep freed memory, and let waiting threads sleep; True where the first could be done.

    To be called before torch is imported. OMP_WAIT_POLICY that is set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return keep_memory()


def keep_memory() -> bool:
    """Tell glibc's allocator to keep what is freed; False where there is none."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(parameter, value) for parameter, value in _KEEP_MEMORY.items())
