from __future__ import annotations

from typing import Any

import pytest

from tests.bench import synthetic


@pytest.fixture(scope="session")
def report() -> dict[str, Any]:
    return synthetic.report()
