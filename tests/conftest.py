"""What holds for all tests: how randomised ones run, and which video codecs there are."""

from pathlib import Path

import pytest
from hypothesis import settings

from icmhcodec.codecs.video import registry

# What one example takes on a busy machine says nothing.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def no_packaged_video_codec(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests add small codecs of their own; only those marked `packaged` see the one of users."""
    if "packaged" not in request.keywords:
        monkeypatch.setattr(registry, "WEIGHTS", Path(__file__).parent / "no-weights")
