"""`python -m icmhcodec.cli` is `icmh`."""

from __future__ import annotations

from icmhcodec.cli.main import main

if __name__ == "__main__":
    main()
